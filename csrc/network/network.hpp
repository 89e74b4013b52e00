// A quantised network, layer after layer: pixels to embeddings.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "aligned.hpp"
#include "kernels.hpp"
#include "layers.hpp"

namespace copytrace::network {

// How a map's bytes are numbers: scale * (byte - zero).
struct Steps {
  float scale;
  std::uint8_t zero;
};

// From pooled features to an embedding: (x - mean) / deviation in bytes, a dense layer, and its bytes as numbers
// divided by the length of them all.
struct Head {
  std::vector<float> mean, deviation;
  Steps in, out;
  float least;  // what a length is at least
};

// Maps are numbered in the order in which they are made; the input is 0. Building is for one thread, running for any
// number. What builds throws std::invalid_argument for what does not fit together.
class Network {
 public:
  Network(const Kernels& kernels, std::size_t height, std::size_t width, std::size_t channels);

  std::size_t convolution(std::size_t in, const Weights& weights, const Window& window);
  std::size_t depthwise(std::size_t in, const Weights& weights, const Window& window);
  // Of two maps alike. The numbers of both are added, as ONNX Runtime does it: with fused products.
  std::size_t sum(std::size_t a, const Steps& steps_a, std::size_t b, const Steps& steps_b, const Steps& out);
  // Appends to the features: for every channel the root of the sum of squares over cells, divided.
  void pool(std::size_t in, std::size_t cell, const Steps& steps, float divisor);
  // The last of all. weights: [E, 1, 1, features].
  void head(Head head, const Weights& weights);

  const Map& map(std::size_t number) const;
  std::size_t features() const { return features_; }
  std::size_t dimension() const { return dense_ ? dense_->out().channels : 0; }
  // pixels: [images, height, width, channels]; rows: [images, dimension].
  void run(const std::uint8_t* pixels, std::size_t images, float* rows) const;
  // A map of one picture, [height, width, channels].
  void values(const std::uint8_t* pixels, std::size_t number, std::uint8_t* values) const;

 private:
  struct SumLayer {
    Sum task;
  };
  struct PoolLayer {
    Pool task;
    std::size_t first;  // feature
  };
  struct Layer {
    std::variant<DenseLayer, DepthwiseLayer, SumLayer, PoolLayer> of;
    std::size_t a, b, out;  // maps; b of sums only, out of all but pools
  };
  struct Workspace {
    Aligned<std::uint8_t> maps, scratch;
    std::vector<float> features;
  };
  class Borrowed;

  std::size_t append(Layer layer, const Map& out);
  void place_maps();
  void run_layer(const Layer& layer, const std::uint8_t* pixels, Workspace& workspace, float* features) const;
  void run_head(const float* features, std::size_t images, float* rows) const;

  const Kernels& kernels_;
  std::vector<Map> maps_;
  std::vector<std::size_t> offsets_;  // of maps in the workspace; several may lie in one place, one after the other
  std::vector<Layer> layers_;
  std::size_t features_ = 0, maps_bytes_ = 0, scratch_bytes_ = 0;
  Head head_;
  std::optional<DenseLayer> dense_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> free_;
};

}  // namespace copytrace::network
