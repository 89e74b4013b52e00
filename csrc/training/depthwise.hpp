// Depthwise convolution for training, channels last, with the clips of ReLU6 fused into both directions.
//
// forward:   y = clip(bias + sum over the window of weight * f(x), 0, 6), where f clips to 0..6 too when `clip_input`
// is set backward:  from the gradient of y, those of x, weight and bias
//
// Arrays: x [images, height, width, channels], y and its gradient [images, out_height, out_width, channels], in float32
// or bfloat16 (given as its 16 bits); weight [kernel * kernel, channels] and bias [channels] in float32. Sums are
// float32. Padding is TensorFlow's "SAME": what is missing on both sides together, the smaller half before.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace copytrace {

constexpr std::size_t kLanes = 16;  // the number of channels is a multiple of it

struct Depthwise {
  std::size_t images, height, width, channels;
  std::size_t kernel;  // 3 or 5
  std::size_t stride;  // 1 or 2
  bool clip_input;

  std::size_t out_height() const { return (height + stride - 1) / stride; }
  std::size_t out_width() const { return (width + stride - 1) / stride; }
  std::size_t padded_height() const { return (out_height() - 1) * stride + kernel; }
  std::size_t padded_width() const { return (out_width() - 1) * stride + kernel; }
  std::size_t top() const { return padded_height() > height ? (padded_height() - height) / 2 : 0; }
  // Floats that a kernel needs for working space, all 0 at first and aligned to 64 bytes; it leaves the borders 0.
  std::size_t scratch() const {
    const std::size_t border = 2 * (kernel - 1);
    return kLanes * (padded_height() * padded_width() + (out_height() + border) * (out_width() + border));
  }
  std::size_t left() const { return padded_width() > width ? (padded_width() - width) / 2 : 0; }
};

// Bits of a bfloat16 number: the upper half of a float32.
struct Bfloat16 {
  std::uint16_t bits;
};

template <typename T>
struct DepthwiseKernel {
  void (*forward)(const Depthwise&, const T* x, const float* weight, const float* bias, T* y, float* scratch);
  // gradient_x may be null; the gradients of weight and bias are overwritten.
  void (*backward)(const Depthwise&, const T* gradient_y, const T* y, const T* x, const float* weight, T* gradient_x,
                   float* gradient_weight, float* gradient_bias, float* scratch);
};

struct DepthwiseKernels {
  const char* name;
  DepthwiseKernel<float> float32;
  DepthwiseKernel<Bfloat16> bfloat16;
};

const DepthwiseKernels& depthwise_plain();
const DepthwiseKernels& depthwise_avx2();
const DepthwiseKernels& depthwise_avx512();

// What this processor can run, slowest first.
std::vector<const DepthwiseKernels*> available_depthwise();

// By name, or "auto" for the fastest. Throws std::invalid_argument naming those that there are.
const DepthwiseKernels& choose_depthwise(const std::string& name);

}  // namespace copytrace
