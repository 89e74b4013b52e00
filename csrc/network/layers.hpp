// Layers that own their constants, laid out as the kernels read them.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "aligned.hpp"
#include "kernels.hpp"

namespace copytrace::network {

// A map's shape; see kernels.hpp.
struct Map {
  std::size_t height, width, channels, stride;
  std::size_t bytes() const { return height * width * stride; }
};

// Constants of a convolution as they come. weights: [outputs, height, width, inputs], of a depthwise one
// [height, width, outputs].
struct Weights {
  const std::int8_t* values;
  std::size_t outputs, height, width, inputs;
  const std::int32_t* bias;  // of each output
  const float* scales;       // of each output: input scale * weight scale / output scale
  std::uint8_t zero_in, zero_out;
};

// Rows above, columns to the left, rows below, columns to the right.
struct Window {
  std::size_t step;
  std::array<std::size_t, 4> pads;
};

// Constructors throw std::invalid_argument for what cannot be computed. The tasks point into their layer's own memory,
// which moves with it.
class DenseLayer {
 public:
  DenseLayer(const Kernels& kernels, const Map& in, const Weights& weights, const Window& window);
  DenseLayer(DenseLayer&&) = default;
  DenseLayer& operator=(DenseLayer&&) = default;

  const Map& out() const { return out_; }
  // Bytes of a copy of the input, with its padding; 0 where the input is read in place.
  std::size_t scratch_bytes() const { return staged_ ? padded_.bytes() + kBlock : 0; }
  void run(const Kernels& kernels, const std::uint8_t* in, std::uint8_t* out, std::uint8_t* scratch) const;
  // The same for `count` inputs of one pixel each.
  void run_rows(const Kernels& kernels, const std::uint8_t* in, std::size_t count, std::uint8_t* out) const;

 private:
  void pack(const Kernels& kernels, const Weights& weights);

  Map in_, padded_, out_;
  std::size_t top_, left_;
  std::uint8_t zero_in_;
  bool staged_;
  Dense task_;
  Aligned<std::int32_t> offsets_, bias_;
  Aligned<float> scales_;
  Aligned<std::int8_t> weights_;
  Aligned<Panel> panels_;
};

class DepthwiseLayer {
 public:
  DepthwiseLayer(const Kernels& kernels, const Map& in, const Weights& weights, const Window& window);
  DepthwiseLayer(DepthwiseLayer&&) = default;
  DepthwiseLayer& operator=(DepthwiseLayer&&) = default;

  const Map& out() const { return out_; }
  void run(const Kernels& kernels, const std::uint8_t* in, std::uint8_t* out) const {
    kernels.depthwise(task_, in, out);
  }

 private:
  Map out_;
  Depthwise task_;
  Aligned<std::int32_t> bias_;
  Aligned<float> scales_;
  Aligned<std::int8_t> weights_;
};

}  // namespace copytrace::network
