// The only file of the training kernels that knows Python: checks arrays, releases the GIL, calls them.
//
// bfloat16 arrays come as int16, which is what torch's .view(torch.int16).numpy() gives without a copy.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../without_gil.hpp"
#include "depthwise.hpp"

namespace py = pybind11;
using namespace copytrace;

namespace {

using Shape = std::vector<std::size_t>;

std::string text(const Shape& shape) {
  std::string parts;
  for (const std::size_t size : shape) parts += (parts.empty() ? "" : ", ") + std::to_string(size);
  return "[" + parts + "]";
}

template <typename T>
py::array check(const py::array& array, const Shape& shape, const std::string& name) {
  if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0) {
    throw std::invalid_argument(name + " must be C-contiguous and of type " +
                                py::str(py::dtype::of<T>()).template cast<std::string>());
  }
  if (Shape(array.shape(), array.shape() + array.ndim()) != shape) {
    throw std::invalid_argument(name + " must have the shape " + text(shape));
  }
  return array;
}

Depthwise shape_of(const py::array& x, const py::array& weight, std::size_t stride, bool clip_input) {
  if (x.ndim() != 4 || weight.ndim() != 2) throw std::invalid_argument("x must be [N, H, W, C], weight [K * K, C]");
  const auto size = [&](int axis) { return static_cast<std::size_t>(x.shape(axis)); };
  const std::size_t taps = static_cast<std::size_t>(weight.shape(0));
  if ((taps != 9 && taps != 25) || (stride != 1 && stride != 2)) {
    throw std::invalid_argument("kernels of 3 x 3 and 5 x 5 with stride 1 or 2 are there");
  }
  if (size(1) == 0 || size(2) == 0 || size(3) == 0 || size(3) % kLanes != 0) {
    throw std::invalid_argument("the map must not be empty, and its channels a multiple of " + std::to_string(kLanes));
  }
  return {size(0), size(1), size(2), size(3), taps == 9 ? std::size_t{3} : std::size_t{5}, stride, clip_input};
}

// Zeroed floats at an address that vectors of 64 bytes may have.
class Scratch {
 public:
  explicit Scratch(std::size_t floats) : memory_(floats + kAlign) {}
  float* data() const {
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    return reinterpret_cast<float*>((address + kAlign * sizeof(float) - 1) & ~(kAlign * sizeof(float) - 1));
  }

 private:
  static constexpr std::size_t kAlign = 16;
  mutable std::vector<float> memory_;
};

template <typename T>
T* data(const py::array& array) {
  return static_cast<T*>(const_cast<void*>(array.data()));
}

template <typename Bits, typename T>
void run_forward(const DepthwiseKernel<T>& kernel, const Depthwise& d, const py::array& x, const py::array& weight,
                 const py::array& bias, const py::array& y) {
  check<Bits>(x, {d.images, d.height, d.width, d.channels}, "x");
  check<float>(weight, {d.kernel * d.kernel, d.channels}, "weight");
  check<float>(bias, {d.channels}, "bias");
  check<Bits>(y, {d.images, d.out_height(), d.out_width(), d.channels}, "y");
  const WithoutGil release;
  const Scratch scratch(d.scratch());
  kernel.forward(d, data<const T>(x), data<const float>(weight), data<const float>(bias), data<T>(y), scratch.data());
}

template <typename Bits, typename T>
void run_backward(const DepthwiseKernel<T>& kernel, const Depthwise& d, const py::array& gradient_y, const py::array& y,
                  const py::array& x, const py::array& weight, const std::optional<py::array>& gradient_x,
                  const py::array& gradient_weight, const py::array& gradient_bias) {
  const Shape in{d.images, d.height, d.width, d.channels}, out{d.images, d.out_height(), d.out_width(), d.channels};
  check<Bits>(x, in, "x");
  check<Bits>(y, out, "y");
  check<Bits>(gradient_y, out, "gradient_y");
  check<float>(weight, {d.kernel * d.kernel, d.channels}, "weight");
  check<float>(gradient_weight, {d.kernel * d.kernel, d.channels}, "gradient_weight");
  check<float>(gradient_bias, {d.channels}, "gradient_bias");
  T* gx = gradient_x ? data<T>(check<Bits>(*gradient_x, in, "gradient_x")) : nullptr;
  const WithoutGil release;
  const Scratch scratch(d.scratch());
  kernel.backward(d, data<const T>(gradient_y), data<const T>(y), data<const T>(x), data<const float>(weight), gx,
                  data<float>(gradient_weight), data<float>(gradient_bias), scratch.data());
}

bool is_half(const py::array& x) { return py::isinstance<py::array_t<std::int16_t>>(x); }

}  // namespace

PYBIND11_MODULE(_kernels, m, py::mod_gil_not_used()) {
  m.doc() =
      "Training kernels: depthwise convolution with fused ReLU6; csrc/training/depthwise.hpp says what they compute.";

  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const DepthwiseKernels* kernels : available_depthwise()) names.emplace_back(kernels->name);
    return names;
  });

  m.def(
      "depthwise_forward",
      [](const py::array& x, const py::array& weight, const py::array& bias, const py::array& y, std::size_t stride,
         bool clip_input, const std::string& isa) {
        const Depthwise d = shape_of(x, weight, stride, clip_input);
        const DepthwiseKernels& kernels = choose_depthwise(isa);
        if (is_half(x)) {
          run_forward<std::int16_t>(kernels.bfloat16, d, x, weight, bias, y);
        } else {
          run_forward<float>(kernels.float32, d, x, weight, bias, y);
        }
      },
      py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("y"), py::arg("stride"), py::arg("clip_input"),
      py::arg("isa") = "auto");

  m.def(
      "depthwise_backward",
      [](const py::array& gradient_y, const py::array& y, const py::array& x, const py::array& weight,
         const std::optional<py::array>& gradient_x, const py::array& gradient_weight, const py::array& gradient_bias,
         std::size_t stride, bool clip_input, const std::string& isa) {
        const Depthwise d = shape_of(x, weight, stride, clip_input);
        const DepthwiseKernels& kernels = choose_depthwise(isa);
        if (is_half(x)) {
          run_backward<std::int16_t>(kernels.bfloat16, d, gradient_y, y, x, weight, gradient_x, gradient_weight,
                                     gradient_bias);
        } else {
          run_backward<float>(kernels.float32, d, gradient_y, y, x, weight, gradient_x, gradient_weight, gradient_bias);
        }
      },
      py::arg("gradient_y"), py::arg("y"), py::arg("x"), py::arg("weight"), py::arg("gradient_x"),
      py::arg("gradient_weight"), py::arg("gradient_bias"), py::arg("stride"), py::arg("clip_input"),
      py::arg("isa") = "auto");
}
