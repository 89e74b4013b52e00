// The only file of the network runner that knows Python: checks arrays, releases the GIL, calls it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "../without_gil.hpp"
#include "dispatch.hpp"
#include "network.hpp"

namespace py = pybind11;
using namespace copytrace::network;

namespace {

using Shape = std::vector<std::size_t>;

template <typename T>
Shape shape_of(const py::array& array, std::size_t dimensions, const std::string& name) {
  constexpr int kWanted = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & kWanted) != kWanted) {
    throw std::invalid_argument(name + " must be C-contiguous, aligned, and of type " +
                                py::str(py::dtype::of<T>()).template cast<std::string>());
  }
  if (static_cast<std::size_t>(array.ndim()) != dimensions) {
    throw std::invalid_argument(name + " must have " + std::to_string(dimensions) + " dimension(s), not " +
                                std::to_string(array.ndim()));
  }
  return Shape(array.shape(), array.shape() + array.ndim());
}

template <typename T>
const T* values_of(const py::array& array, std::size_t size, const std::string& name) {
  if (shape_of<T>(array, 1, name)[0] != size) {
    throw std::invalid_argument(name + " must have " + std::to_string(size) + " values");
  }
  return static_cast<const T*>(array.data());
}

std::vector<float> floats(const py::array& array, const std::string& name) {
  const std::size_t size = shape_of<float>(array, 1, name)[0];
  const float* data = static_cast<const float*>(array.data());
  return {data, data + size};
}

// shape: [outputs, height, width, inputs].
Weights weights_of(const py::array& weights, const Shape& shape, const py::array& bias, const py::array& scales,
                   std::uint8_t zero_in, std::uint8_t zero_out) {
  return {static_cast<const std::int8_t*>(weights.data()),
          shape[0],
          shape[1],
          shape[2],
          shape[3],
          values_of<std::int32_t>(bias, shape[0], "bias"),
          values_of<float>(scales, shape[0], "scales"),
          zero_in,
          zero_out};
}

const std::uint8_t* pictures(const py::array& pixels, const Network& network, bool single) {
  const Map& in = network.map(0);
  const Shape shape = shape_of<std::uint8_t>(pixels, single ? 3 : 4, "pixels");
  if (Shape(shape.end() - 3, shape.end()) != Shape{in.height, in.width, in.channels}) {
    throw std::invalid_argument("pixels must have the shape [" + std::string(single ? "" : "N, ") +
                                std::to_string(in.height) + ", " + std::to_string(in.width) + ", " +
                                std::to_string(in.channels) + "]");
  }
  return static_cast<const std::uint8_t*>(pixels.data());
}

py::array_t<float> run(const Network& network, const py::array& pixels) {
  const std::uint8_t* from = pictures(pixels, network, false);
  const auto images = static_cast<std::size_t>(pixels.shape(0));
  py::array_t<float> rows({images, network.dimension()});
  float* to = rows.mutable_data();
  const copytrace::WithoutGil release;
  network.run(from, images, to);
  return rows;
}

py::array_t<std::uint8_t> values(const Network& network, const py::array& pixels, std::size_t number) {
  const std::uint8_t* from = pictures(pixels, network, true);
  const Map& map = network.map(number);
  py::array_t<std::uint8_t> made({map.height, map.width, map.channels});
  std::uint8_t* to = made.mutable_data();
  const copytrace::WithoutGil release;
  network.values(from, number, to);
  return made;
}

}  // namespace

PYBIND11_MODULE(_network, m) {
  m.doc() = "Quantised networks on the CPU; csrc/network/kernels.hpp says what the layers compute.";

  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
    return names;
  });

  py::class_<Steps>(m, "Steps").def(py::init<float, std::uint8_t>(), py::arg("scale"), py::arg("zero"));

  py::class_<Network>(m, "Network")
      .def(py::init([](std::size_t height, std::size_t width, std::size_t channels, const std::string& isa) {
             return std::make_unique<Network>(choose_kernels(isa), height, width, channels);
           }),
           py::arg("height"), py::arg("width"), py::arg("channels"), py::arg("isa") = "auto")
      .def(
          "convolution",
          [](Network& network, std::size_t in, const py::array& weights, const py::array& bias, const py::array& scales,
             std::uint8_t zero_in, std::uint8_t zero_out, std::size_t step, const std::array<std::size_t, 4>& pads) {
            const Shape shape = shape_of<std::int8_t>(weights, 4, "weights");
            return network.convolution(in, weights_of(weights, shape, bias, scales, zero_in, zero_out), {step, pads});
          },
          py::arg("map"), py::arg("weights"), py::arg("bias"), py::arg("scales"), py::arg("zero_in"),
          py::arg("zero_out"), py::arg("step"), py::arg("pads"))
      .def(
          "depthwise",
          [](Network& network, std::size_t in, const py::array& weights, const py::array& bias, const py::array& scales,
             std::uint8_t zero_in, std::uint8_t zero_out, std::size_t step, const std::array<std::size_t, 4>& pads) {
            const Shape shape = shape_of<std::int8_t>(weights, 3, "weights");
            const Shape full{shape[2], shape[0], shape[1], 1};
            return network.depthwise(in, weights_of(weights, full, bias, scales, zero_in, zero_out), {step, pads});
          },
          py::arg("map"), py::arg("weights"), py::arg("bias"), py::arg("scales"), py::arg("zero_in"),
          py::arg("zero_out"), py::arg("step"), py::arg("pads"))
      .def("sum", &Network::sum, py::arg("a"), py::arg("steps_a"), py::arg("b"), py::arg("steps_b"), py::arg("steps"))
      .def("pool", &Network::pool, py::arg("map"), py::arg("cell"), py::arg("steps"), py::arg("divisor"))
      .def(
          "head",
          [](Network& network, const py::array& mean, const py::array& deviation, const Steps& in,
             const py::array& weights, const py::array& bias, const py::array& scales, const Steps& out, float least) {
            const Shape shape = shape_of<std::int8_t>(weights, 2, "weights");
            const Shape full{shape[0], 1, 1, shape[1]};
            network.head({floats(mean, "mean"), floats(deviation, "deviation"), in, out, least},
                         weights_of(weights, full, bias, scales, in.zero, out.zero));
          },
          py::arg("mean"), py::arg("deviation"), py::arg("steps_in"), py::arg("weights"), py::arg("bias"),
          py::arg("scales"), py::arg("steps_out"), py::arg("least"))
      .def("shape",
           [](const Network& network, std::size_t number) {
             const Map& map = network.map(number);
             return py::make_tuple(map.height, map.width, map.channels);
           })
      .def_property_readonly("features", &Network::features)
      .def_property_readonly("dimension", &Network::dimension)
      .def("values", &values, py::arg("pixels"), py::arg("map"))
      .def("__call__", &run, py::arg("pixels"));
}
