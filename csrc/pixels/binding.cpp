// The only file of the pixel core that knows Python: checks the array, releases the GIL, calls the algorithm.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>

#include "../without_gil.hpp"
#include "area.hpp"

namespace py = pybind11;

namespace {

py::array_t<std::uint8_t> shrink(const py::array& pixels, py::ssize_t height, py::ssize_t width,
                                 const std::string& instructions) {
  if (!py::isinstance<py::array_t<std::uint8_t>>(pixels) || (pixels.flags() & py::array::c_style) == 0) {
    throw std::invalid_argument("pixels must be C-contiguous and of type uint8");
  }
  if (pixels.ndim() != 3 || pixels.shape(2) != 3) throw std::invalid_argument("pixels must have the shape [H, W, 3]");
  if (height < 1 || width < 1 || height > pixels.shape(0) || width > pixels.shape(1)) {
    throw std::invalid_argument("the new height and width must be at least 1 and no more than those of the pixels");
  }
  py::array_t<std::uint8_t> made({height, width, py::ssize_t{3}});
  const auto* from = static_cast<const std::uint8_t*>(pixels.data());
  auto* to = made.mutable_data();
  const auto size = [&](int axis) { return static_cast<std::size_t>(pixels.shape(axis)); };
  {
    const copytrace::WithoutGil release;
    copytrace::pixels::shrink(from, size(0), size(1), to, static_cast<std::size_t>(height),
                              static_cast<std::size_t>(width), instructions);
  }
  return made;
}

}  // namespace

PYBIND11_MODULE(_pixels, module) {
  module.doc() = "Pixels made smaller.";
  module.def("shrink", &shrink, py::arg("pixels"), py::arg("height"), py::arg("width"), py::kw_only(),
             py::arg("instructions") = "auto",
             "uint8 RGB [H, W, 3] -> [height, width, 3] by area averaging. Raises: ValueError.");
  module.def("instruction_sets", &copytrace::pixels::instruction_sets,
             "Instruction sets this processor can run, slowest first.");
}
