#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <stdexcept>

namespace copytrace::network {
namespace {

constexpr float kWhole = 12582912.0f;  // 3 * 2^22, at which a float has no bits behind the point

void check(bool holds, const char* otherwise) {
  if (!holds) throw std::invalid_argument(otherwise);
}

void check(const Steps& steps) {
  check(std::isfinite(steps.scale) && steps.scale > 0, "scales must be finite and positive");
}

}  // namespace

Network::Network(const Kernels& kernels, std::size_t height, std::size_t width, std::size_t channels)
    : kernels_(kernels), maps_{{height, width, channels, channels}}, offsets_{0} {
  constexpr std::size_t kMost = 1 << 14;
  const auto fits = [](std::size_t size) { return size >= 1 && size <= kMost; };
  check(fits(height) && fits(width) && fits(channels) && maps_[0].bytes() <= std::size_t{1} << 28,
        "the input's sides must be from 1 to 16384, and the whole no more than 256 MiB");
}

const Map& Network::map(std::size_t number) const {
  check(number < maps_.size(), "there is no map of this number");
  return maps_[number];
}

std::size_t Network::append(Layer layer, const Map& out) {
  check(!dense_, "the head is the last layer");
  layer.out = maps_.size();
  maps_.push_back(out);
  layers_.push_back(std::move(layer));
  place_maps();
  return maps_.size() - 1;
}

std::size_t Network::convolution(std::size_t in, const Weights& weights, const Window& window) {
  DenseLayer layer(kernels_, map(in), weights, window);
  scratch_bytes_ = std::max(scratch_bytes_, layer.scratch_bytes());
  const Map out = layer.out();
  return append({std::move(layer), in, in, 0}, out);
}

std::size_t Network::depthwise(std::size_t in, const Weights& weights, const Window& window) {
  DepthwiseLayer layer(kernels_, map(in), weights, window);
  const Map out = layer.out();
  return append({std::move(layer), in, in, 0}, out);
}

std::size_t Network::sum(std::size_t a, const Steps& steps_a, std::size_t b, const Steps& steps_b, const Steps& out) {
  const Map &left = map(a), &right = map(b);
  const bool alike = left.height == right.height && left.width == right.width && left.channels == right.channels;
  check(a != 0 && b != 0 && alike, "only maps of one shape can be added, and not the input");
  for (const Steps& steps : {steps_a, steps_b, out}) check(steps);
  const float scale_a = steps_a.scale / out.scale, scale_b = steps_b.scale / out.scale;
  const float zero_a = steps_a.zero, zero_b = steps_b.zero, zero = out.zero;
  // Fused as in ONNX Runtime, which decides where a sum lies half way between two bytes.
  const float offset = zero - std::fma(scale_a, zero_a, scale_b * zero_b);
  check(std::isfinite(scale_a) && std::isfinite(scale_b) && std::isfinite(offset), "scales are too far apart");
  return append({SumLayer{{left.bytes(), scale_a, scale_b, offset}}, a, b, 0}, left);
}

void Network::pool(std::size_t in, std::size_t cell, const Steps& steps, float divisor) {
  const Map& m = map(in);
  check(!dense_, "the head is the last layer");
  check(in != 0 && cell >= 1 && cell <= m.height && cell <= m.width,
        "cells must fit in the map, which is not the input");
  check(steps);
  check(std::isfinite(divisor) && divisor > 0, "the divisor must be finite and positive");
  const Pool task{m.height, m.width, m.stride, m.channels, cell, steps.scale, divisor, steps.zero};
  layers_.push_back({PoolLayer{task, features_}, in, in, 0});
  features_ += m.channels;
  place_maps();
}

void Network::head(Head head, const Weights& weights) {
  check(!dense_ && features_ > 0, "there must be features, and no head before");
  check(head.mean.size() == features_ && head.deviation.size() == features_,
        "the head is for another number of features");
  for (std::size_t i = 0; i < features_; ++i) {
    check(std::isfinite(head.mean[i]) && std::isfinite(head.deviation[i]) && head.deviation[i] != 0,
          "means must be finite, and deviations also not 0");
  }
  check(head.in);
  check(head.out);
  check(std::isfinite(head.least) && head.least > 0, "the least length must be finite and positive");
  dense_.emplace(kernels_, Map{1, 1, features_, whole_blocks(features_)}, weights, Window{1, {0, 0, 0, 0}});
  head_ = std::move(head);
}

// A map lies where nothing lies that is still to be read: the first gap that is large enough.
void Network::place_maps() {
  std::vector<std::size_t> last(maps_.size(), 0);  // layer that reads it last
  for (std::size_t i = 0; i < layers_.size(); ++i) last[layers_[i].a] = last[layers_[i].b] = i;
  const auto size_of = [&](std::size_t m) { return (maps_[m].bytes() + kLine - 1) / kLine * kLine; };
  offsets_.assign(maps_.size(), 0);
  maps_bytes_ = 0;
  std::vector<std::size_t> live;  // by place
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const std::size_t out = layers_[i].out;
    if (out == 0) continue;
    live.erase(std::remove_if(live.begin(), live.end(), [&](std::size_t m) { return last[m] < i; }), live.end());
    std::size_t at = 0;
    auto next = live.begin();
    for (; next != live.end() && offsets_[*next] < at + size_of(out); ++next) at = offsets_[*next] + size_of(*next);
    offsets_[out] = at;
    live.insert(next, out);
    maps_bytes_ = std::max(maps_bytes_, at + size_of(out));
  }
}

// Memory to work in, given back at the end.
class Network::Borrowed {
 public:
  explicit Borrowed(const Network& network) : network_(network) {
    {
      const std::lock_guard<std::mutex> lock(network.mutex_);
      if (!network.free_.empty()) {
        own_ = std::move(network.free_.back());
        network.free_.pop_back();
      }
    }
    if (!own_) own_ = std::make_unique<Workspace>();
    own_->maps.resize(network.maps_bytes_);
    own_->scratch.resize(network.scratch_bytes_);
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() {
    try {
      const std::lock_guard<std::mutex> lock(network_.mutex_);
      network_.free_.push_back(std::move(own_));
    } catch (const std::bad_alloc&) {  // then the next one makes its own
    }
  }
  Workspace& operator*() const { return *own_; }

 private:
  const Network& network_;
  std::unique_ptr<Workspace> own_;
};

void Network::run_layer(const Layer& layer, const std::uint8_t* pixels, Workspace& workspace, float* features) const {
  const auto at = [&](std::size_t m) { return workspace.maps.data() + offsets_[m]; };
  const std::uint8_t* a = layer.a == 0 ? pixels : at(layer.a);
  if (const auto* dense = std::get_if<DenseLayer>(&layer.of)) {
    dense->run(kernels_, a, at(layer.out), workspace.scratch.data());
  } else if (const auto* depthwise = std::get_if<DepthwiseLayer>(&layer.of)) {
    depthwise->run(kernels_, a, at(layer.out));
  } else if (const auto* sum = std::get_if<SumLayer>(&layer.of)) {
    kernels_.sum(sum->task, a, at(layer.b), at(layer.out));
  } else if (features != nullptr) {
    const auto& pool = std::get<PoolLayer>(layer.of);
    kernels_.pool(pool.task, a, features + pool.first);
  }
}

void Network::run(const std::uint8_t* pixels, std::size_t images, float* rows) const {
  constexpr std::size_t kTogether = 16;  // in the head, whose weights do not stay in the caches
  check(dense_.has_value(), "the network has no head yet");
  const Borrowed borrowed(*this);
  Workspace& workspace = *borrowed;
  workspace.features.resize(kTogether * features_);
  for (std::size_t begin = 0; begin < images; begin += kTogether) {
    const std::size_t count = std::min(images - begin, kTogether);
    for (std::size_t i = 0; i < count; ++i, pixels += maps_[0].bytes()) {
      float* features = workspace.features.data() + i * features_;
      for (const Layer& layer : layers_) run_layer(layer, pixels, workspace, features);
    }
    run_head(workspace.features.data(), count, rows + begin * dimension());
  }
}

void Network::values(const std::uint8_t* pixels, std::size_t number, std::uint8_t* values) const {
  const Map& wanted = map(number);
  const Borrowed borrowed(*this);
  const std::uint8_t* from = pixels;
  if (number != 0) {
    for (const Layer& layer : layers_) {
      run_layer(layer, pixels, *borrowed, nullptr);
      if (layer.out == number) break;
    }
    from = (*borrowed).maps.data() + offsets_[number];
  }
  for (std::size_t i = 0; i < wanted.height * wanted.width; ++i) {
    std::memcpy(values + i * wanted.channels, from + i * wanted.stride, wanted.channels);
  }
}

void Network::run_head(const float* features, std::size_t images, float* rows) const {
  const std::size_t in_stride = whole_blocks(features_), out_stride = dense_->out().stride,
                    size = dense_->out().channels;
  Aligned<std::uint8_t> in(images * in_stride), out(images * out_stride);
  const float low = -static_cast<float>(head_.in.zero), high = static_cast<float>(255 - head_.in.zero);
  for (std::size_t i = 0; i < images; ++i, features += features_) {
    for (std::size_t k = 0; k < features_; ++k) {
      const float value = (features[k] - head_.mean[k]) / head_.deviation[k] / head_.in.scale;
      const float near = std::min(std::max(value, low), high) + kWhole - kWhole;  // halves to the even one
      in[i * in_stride + k] = static_cast<std::uint8_t>(static_cast<int>(near) + head_.in.zero);
    }
  }
  dense_->run_rows(kernels_, in.data(), images, out.data());
  for (std::size_t i = 0; i < images; ++i, rows += size) {
    float squares = 0;
    for (std::size_t k = 0; k < size; ++k) {
      rows[k] = static_cast<float>(out[i * out_stride + k] - head_.out.zero) * head_.out.scale;
      squares += rows[k] * rows[k];
    }
    const float length = std::max(std::sqrt(squares), head_.least);
    for (std::size_t k = 0; k < size; ++k) rows[k] /= length;
  }
}

}  // namespace copytrace::network
