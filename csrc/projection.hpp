// Raw embeddings to descriptors: y = ((x - mean) @ components^T) / sqrt(eigenvalues), then y / ||y||.
#pragma once
#include <cstddef>
#include <vector>

#include "packed.hpp"
#include "tile.hpp"

namespace copytrace {

class Projection {
 public:
  // mean [inputs], components [outputs, inputs], eigenvalues [outputs]. Throws std::invalid_argument when a value is
  // not finite, or an eigenvalue not positive.
  Projection(const float* mean, const float* components, const float* eigenvalues, std::size_t inputs,
             std::size_t outputs);

  std::size_t inputs() const { return weights_.depth(); }
  std::size_t outputs() const { return weights_.rows(); }

  // raw [rows, inputs] -> out [rows, outputs]. Throws std::invalid_argument when a row is not finite.
  void apply(const float* raw, std::size_t rows, float* out, const TileKernel& kernel, std::size_t threads) const;

  // The same for rows of one block, on the calling thread.
  void apply_block(const float* raw, std::size_t rows, float* out, const TileKernel& kernel) const;

 private:
  static std::vector<float> inverse_roots(const float* eigenvalues, std::size_t count);

  PackedRows weights_;       // components / sqrt(eigenvalues)
  std::vector<float> bias_;  // -mean @ weights^T
};

// Scales a row to unit length, one shorter than 1e-30 to zeros. Throws std::invalid_argument when it is not finite.
void normalise_row(float* row, std::size_t size, const TileKernel& kernel);

}  // namespace copytrace
