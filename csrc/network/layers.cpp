#include "layers.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace copytrace::network {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 28;  // of a map or of weights; offsets in them fit in 32 bits

void check(bool holds, const char* otherwise) {
  if (!holds) throw std::invalid_argument(otherwise);
}

// Outputs along one side.
std::size_t places(std::size_t size, std::size_t kernel, std::size_t step, std::size_t before, std::size_t after) {
  check(step >= 1, "the step must be at least 1");
  check(before < kernel && after < kernel, "padding must be smaller than the kernel");
  check(size + before + after >= kernel, "the kernel is larger than the padded map");
  return (size + before + after - kernel) / step + 1;
}

void check_size(std::size_t height, std::size_t width, std::size_t channels) {
  const bool fits = height <= kMostBytes && width <= kMostBytes && channels <= kMostBytes &&
                    height * width <= kMostBytes && height * width * channels <= kMostBytes;
  check(fits, "a map or weights are larger than 256 MiB");
}

// Sums start at the bias less what the zero point adds: sum (x - zero) * w = sum x * w - zero * sum w. Modulo 2^32, as
// all sums: channels that are never positive have biases at the very end of the range.
void fold_zero(const Weights& weights, std::size_t taps, std::size_t first, std::size_t between, std::size_t output,
               std::size_t place, Aligned<std::int32_t>& bias, Aligned<float>& scales) {
  std::uint32_t start = static_cast<std::uint32_t>(weights.bias[output]);
  for (std::size_t i = 0; i < taps; ++i) {
    start -= static_cast<std::uint32_t>(weights.zero_in * weights.values[first + i * between]);
  }
  bias[place] = static_cast<std::int32_t>(start);
  scales[place] = weights.scales[output];
  check(std::isfinite(scales[place]) && scales[place] >= 0, "scales must be finite and not negative");
}

}  // namespace

DenseLayer::DenseLayer(const Kernels& kernels, const Map& in, const Weights& weights, const Window& window)
    : in_(in), padded_(in), top_(window.pads[0]), left_(window.pads[1]), zero_in_(weights.zero_in) {
  check(weights.inputs == in.channels, "the weights are for another number of channels");
  check(weights.outputs >= 1 && weights.height >= 1 && weights.width >= 1, "the weights must not be empty");
  const auto& pads = window.pads;
  task_.rows = places(in.height, weights.height, window.step, pads[0], pads[2]);
  task_.columns = places(in.width, weights.width, window.step, pads[1], pads[3]);
  task_.out_stride = whole_blocks(weights.outputs);
  check_size(task_.rows, task_.columns, task_.out_stride);
  check_size(weights.height * weights.width, weights.inputs, task_.out_stride);
  padded_.height += pads[0] + pads[2];
  padded_.width += pads[1] + pads[3];
  check_size(padded_.height, padded_.width, padded_.stride);
  staged_ = padded_.height != in.height || padded_.width != in.width || in.stride % kBlock != 0;
  task_.row_step = window.step * padded_.width * in.stride;
  task_.step = window.step * in.stride;
  out_ = {task_.rows, task_.columns, weights.outputs, task_.out_stride};
  const bool flat = weights.height == 1 && weights.width == 1 && window.step == 1;
  if (flat) {  // neighbours everywhere, from row to row as well
    task_.columns *= task_.rows;
    task_.rows = 1;
  }
  bias_.resize(task_.out_stride);
  scales_.resize(task_.out_stride);
  const std::size_t taps = weights.height * weights.width * weights.inputs;
  for (std::size_t place = 0; place < task_.out_stride; ++place) {
    const std::size_t o = channel_at(place, kernels.lanes, task_.out_stride);
    if (o < weights.outputs) fold_zero(weights, taps, o * taps, 1, o, place, bias_, scales_);
  }
  task_.requantise = {bias_.data(), scales_.data(), weights.zero_out};
  pack(kernels, weights);
}

void DenseLayer::pack(const Kernels& kernels, const Weights& weights) {
  // Runs of input bytes that lie side by side: a row of the kernel where pixels touch, else a pixel.
  const bool touching = padded_.stride == weights.inputs;
  const std::size_t runs = weights.height * (touching ? 1 : weights.width);
  const std::size_t length = weights.inputs * (touching ? weights.width : 1), quads = (length + 3) / 4;
  for (std::size_t run = 0; run < runs; ++run) {
    const std::size_t row = touching ? run : run / weights.width, column = touching ? 0 : run % weights.width;
    for (std::size_t q = 0; q < quads; ++q) {
      offsets_.push_back(static_cast<std::int32_t>((row * padded_.width + column) * padded_.stride + 4 * q));
    }
  }
  task_.quads = offsets_.size();
  task_.offsets = offsets_.data();
  const std::size_t lanes = kernels.lanes;
  weights_.assign(task_.quads * 4 * task_.out_stride, 0);
  for (std::size_t begin = 0, end; begin < task_.out_stride; begin = end) {
    const std::size_t vectors = std::min((task_.out_stride - begin) / lanes, kGroup), width = vectors * lanes;
    std::int8_t* packed = weights_.data() + task_.quads * 4 * begin;
    panels_.push_back({begin, vectors, packed});
    end = begin + width;
    for (std::size_t place = begin; place < end; ++place) {
      const std::size_t o = channel_at(place, lanes, task_.out_stride);
      for (std::size_t i = 0; o < weights.outputs && i < runs * length; ++i) {
        const std::size_t quad = i / length * quads + i % length / 4;
        packed[(quad * width + place - begin) * 4 + i % length % 4] = weights.values[o * runs * length + i];
      }
    }
  }
  task_.panels = panels_.data();
  task_.panel_count = panels_.size();
}

void DenseLayer::run(const Kernels& kernels, const std::uint8_t* in, std::uint8_t* out, std::uint8_t* scratch) const {
  if (staged_) {
    std::memset(scratch, zero_in_, scratch_bytes());
    for (std::size_t y = 0; y < in_.height; ++y) {
      std::memcpy(scratch + ((y + top_) * padded_.width + left_) * in_.stride, in + y * in_.width * in_.stride,
                  in_.width * in_.stride);
    }
    in = scratch;
  }
  kernels.dense(task_, in, out);
}

void DenseLayer::run_rows(const Kernels& kernels, const std::uint8_t* in, std::size_t count, std::uint8_t* out) const {
  Dense task = task_;
  task.columns = count;
  kernels.dense(task, in, out);
}

DepthwiseLayer::DepthwiseLayer(const Kernels& kernels, const Map& in, const Weights& weights, const Window& window) {
  check(weights.outputs == in.channels && in.stride % kBlock == 0, "the weights are for another number of channels");
  check(weights.height == weights.width && (weights.height == 3 || weights.height == 5) && window.step <= 2,
        "depthwise kernels of 3 x 3 and 5 x 5 with steps of 1 and 2 are there");
  const auto& pads = window.pads;
  const std::size_t k = weights.height, lanes = kernels.lanes, taps = k * k;
  task_.height = in.height, task_.width = in.width, task_.stride = in.stride;
  task_.out_height = places(in.height, k, window.step, pads[0], pads[2]);
  task_.out_width = places(in.width, k, window.step, pads[1], pads[3]);
  task_.kernel = k, task_.step = window.step, task_.top = pads[0], task_.left = pads[1];
  task_.zero = weights.zero_in;
  out_ = {task_.out_height, task_.out_width, in.channels, in.stride};
  check_size(out_.height, out_.width, out_.stride);
  bias_.resize(in.stride);
  scales_.resize(in.stride);
  const std::size_t together = rows_together(window.step), quads = column_quads(k, window.step);
  weights_.assign(in.stride * together * quads * k * 4, 0);
  for (std::size_t place = 0; place < in.stride; ++place) {
    const std::size_t channel = channel_at(place, lanes, in.stride);
    if (channel >= in.channels) continue;
    fold_zero(weights, taps, channel, in.channels, channel, place, bias_, scales_);
    for (std::size_t i = 0; i < together * taps; ++i) {
      const std::size_t output = i / taps, tap = i % taps, row = tap / k + output, column = tap % k;
      const std::size_t quad = ((place / lanes * together + output) * quads + row / 4) * k + column;
      weights_[(quad * lanes + place % lanes) * 4 + row % 4] = weights.values[tap * in.channels + channel];
    }
  }
  task_.weights = weights_.data();
  task_.requantise = {bias_.data(), scales_.data(), weights.zero_out};
}

}  // namespace copytrace::network
