#include "projection.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "parallel.hpp"

namespace copytrace {

namespace {
// Rows projected together: half a megabyte of embeddings at 1280 dimensions.
constexpr std::size_t kProjectionRows = 96;
constexpr double kShortestSquared = 1e-60;  // of a row that has a direction

void require_finite(const float* values, std::size_t count, const char* otherwise) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) throw std::invalid_argument(otherwise);
  }
}
}  // namespace

std::vector<float> Projection::inverse_roots(const float* eigenvalues, std::size_t count) {
  std::vector<float> roots(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!(eigenvalues[i] > 0.0f) || !std::isfinite(eigenvalues[i])) {
      throw std::invalid_argument("eigenvalues must be positive and finite; drop the components without variance");
    }
    roots[i] = static_cast<float>(1.0 / std::sqrt(static_cast<double>(eigenvalues[i])));
  }
  return roots;
}

Projection::Projection(const float* mean, const float* components, const float* eigenvalues, std::size_t inputs,
                       std::size_t outputs)
    : weights_(components, outputs, inputs, kPanelRows, inverse_roots(eigenvalues, outputs).data()), bias_(outputs) {
  require_finite(mean, inputs, "mean has NaN or infinite values");
  require_finite(components, outputs * inputs, "components have NaN or infinite values");
  require_finite(weights_.group(0), weights_.groups() * kPanelRows * inputs,
                 "components / sqrt(eigenvalues) leave the range of float32");
  const std::vector<float> roots = inverse_roots(eigenvalues, outputs);
  for (std::size_t row = 0; row < outputs; ++row) {
    double sum = 0.0;
    for (std::size_t k = 0; k < inputs; ++k) sum += static_cast<double>(mean[k]) * components[row * inputs + k];
    bias_[row] = static_cast<float>(-sum * roots[row]);
  }
  require_finite(bias_.data(), outputs, "the projected mean leaves the range of float32");
}

void normalise_row(float* row, std::size_t size, const TileKernel& kernel) {
  const double sum = kernel.squared_length(row, size);
  if (!std::isfinite(sum)) {
    throw std::invalid_argument("an embedding has NaN, infinite or overflowing values; remove that row first");
  }
  if (sum < kShortestSquared) {
    std::fill_n(row, size, 0.0f);
    return;
  }
  const double inverse = 1.0 / std::sqrt(sum);
  for (std::size_t i = 0; i < size; ++i) row[i] = static_cast<float>(row[i] * inverse);
}

void Projection::apply_block(const float* raw, std::size_t rows, float* out, const TileKernel& kernel) const {
  // Full groups of rows are read where they lie; only the rest is copied, filled up with zeros.
  const std::size_t full = rows / kernel.rows;
  const PackedRows rest(raw + full * kernel.rows * inputs(), rows % kernel.rows, inputs(), kernel.rows);
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  for (std::size_t panel = 0; panel < weights_.groups(); ++panel) {
    const std::size_t first = panel * kPanelRows;
    const std::size_t columns = std::min(kPanelRows, outputs() - first);
    for (std::size_t row = 0; row < rows; row += kernel.rows) {
      if (row / kernel.rows < full) {
        kernel.multiply(raw + row * inputs(), inputs(), 1, weights_.group(panel), inputs(), tile);
      } else {
        kernel.multiply(rest.group(0), 1, kernel.rows, weights_.group(panel), inputs(), tile);
      }
      for (std::size_t r = 0; r < std::min(kernel.rows, rows - row); ++r) {
        float* target = out + (row + r) * outputs() + first;
        for (std::size_t c = 0; c < columns; ++c) target[c] = tile[r * kPanelRows + c] + bias_[first + c];
      }
    }
  }
  for (std::size_t row = 0; row < rows; ++row) normalise_row(out + row * outputs(), outputs(), kernel);
}

void Projection::apply(const float* raw, std::size_t rows, float* out, const TileKernel& kernel,
                       std::size_t threads) const {
  parallel_blocks(rows, rows_per_block(rows, kProjectionRows, kernel.rows, threads), threads,
                  [&](std::size_t begin, std::size_t end) {
                    apply_block(raw + begin * inputs(), end - begin, out + begin * outputs(), kernel);
                  });
}

}  // namespace copytrace
