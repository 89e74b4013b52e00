#include "bank.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "nearest.hpp"
#include "parallel.hpp"

namespace copytrace {

namespace {

float inverse_length(const float* row, std::size_t size, const TileKernel& kernel) {
  const double squared = kernel.squared_length(row, size);
  if (!std::isfinite(squared)) {
    throw std::invalid_argument("a descriptor has NaN or infinite values; remove that row first");
  }
  return squared > 0.0 ? static_cast<float>(1.0 / std::sqrt(squared)) : 0.0f;
}

std::vector<float> inverse_lengths(const float* rows, std::size_t count, std::size_t size) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = inverse_length(rows + i * size, size, plain_kernel());
  return result;
}

}  // namespace

Bank::Bank(const float* rows, std::size_t count, std::size_t size)
    : rows_(rows), packed_(rows, count, size, kPanelRows, inverse_lengths(rows, count, size).data()) {
  if (count == 0) throw std::invalid_argument("the bank is empty; give at least one descriptor");
}

std::vector<std::vector<Neighbour>> Bank::search_block(const float* queries, std::size_t count, std::size_t k,
                                                       const TileKernel& kernel) const {
  std::vector<NearestK> best(count, NearestK(k));
  const PackedRows left(queries, count, size(), kernel.rows);
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  for (std::size_t panel = 0; panel < packed_.groups(); ++panel) {
    const std::size_t first = panel * kPanelRows;
    const std::uint32_t valid = panel_mask(this->count() - first);
    for (std::size_t group = 0; group < left.groups(); ++group) {
      kernel.multiply(left.group(group), 1, kernel.rows, packed_.group(panel), size(), tile);
      const std::size_t row = group * kernel.rows;
      for (std::size_t r = 0; r < std::min(kernel.rows, count - row); ++r) {
        NearestK& keep = best[row + r];
        std::uint32_t hits = kernel.above(tile + r * kPanelRows, keep.threshold()) & valid;
        for (; hits != 0; hits &= hits - 1) {
          const auto column = static_cast<std::size_t>(__builtin_ctz(hits));
          keep.add(tile[r * kPanelRows + column], static_cast<std::int64_t>(first + column));
        }
      }
    }
  }
  std::vector<std::vector<Neighbour>> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    const float scale = inverse_length(queries + i * size(), size(), kernel);
    result[i] = best[i].sorted();
    for (Neighbour& neighbour : result[i]) neighbour.cosine *= scale;
  }
  return result;
}

void Bank::nearest(const float* queries, std::size_t count, std::size_t k, float* cosines, std::int64_t* indices,
                   const TileKernel& kernel, std::size_t threads) const {
  if (k == 0 || k > this->count()) throw std::invalid_argument("k must be between 1 and the number of bank rows");
  parallel_blocks(count, rows_per_block(count, kernel.rows, threads), threads, [&](std::size_t begin, std::size_t end) {
    const auto found = search_block(queries + begin * size(), end - begin, k, kernel);
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t j = 0; j < k; ++j) {
        cosines[i * k + j] = found[i - begin][j].cosine;
        indices[i * k + j] = found[i - begin][j].row;
      }
    }
  });
}

void Bank::move_query(const float* query, const std::vector<Neighbour>& nearest, const Normalisation& how, float* out,
                      const TileKernel& kernel) const {
  const std::size_t averaged = std::min(how.cosines, nearest.size());
  double mean = 0.0;
  for (std::size_t k = 0; k < averaged; ++k) mean += nearest[k].cosine;
  const double strength = how.beta * std::sqrt(std::max(mean / static_cast<double>(averaged), 0.0));
  if (how.method == 1) {
    for (std::size_t i = 0; i < size(); ++i) out[i] = static_cast<float>(query[i] * (1.0 + strength));
    return;
  }
  std::vector<double> direction(size(), 0.0);
  for (std::size_t k = 0; k < std::min(how.directions, nearest.size()); ++k) {
    const float* row = rows_ + static_cast<std::size_t>(nearest[k].row) * size();
    kernel.add_unit_difference(query, row, size(), direction.data());
  }
  double length = 0.0;
  for (const double x : direction) length += x * x;
  const double step = length > 0.0 ? strength / std::sqrt(length) : 0.0;
  for (std::size_t i = 0; i < size(); ++i) out[i] = static_cast<float>(query[i] + step * direction[i]);
}

void Bank::normalise_block(const float* queries, std::size_t count, const Normalisation& how, float* out,
                           const TileKernel& kernel) const {
  const std::size_t wanted = how.method == 1 ? how.cosines : std::max(how.cosines, how.directions);
  const auto found = search_block(queries, count, std::min(wanted, this->count()), kernel);
  for (std::size_t i = 0; i < count; ++i) move_query(queries + i * size(), found[i], how, out + i * size(), kernel);
}

void Bank::normalise(const float* queries, std::size_t count, const Normalisation& how, float* out,
                     const TileKernel& kernel, std::size_t threads) const {
  if (how.method != 1 && how.method != 2) throw std::invalid_argument("method must be 1 or 2");
  if (how.cosines == 0 || how.directions == 0) throw std::invalid_argument("cosines and directions must be at least 1");
  parallel_blocks(count, rows_per_block(count, kernel.rows, threads), threads, [&](std::size_t begin, std::size_t end) {
    normalise_block(queries + begin * size(), end - begin, how, out + begin * size(), kernel);
  });
}

}  // namespace copytrace
