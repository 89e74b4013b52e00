#include "bank.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "nearest_k.hpp"
#include "parallel.hpp"
#include "scan_tiles.hpp"

namespace copytrace {

namespace {

constexpr double kShortest = 1e-30;
constexpr double kLongest = 1e30;

// 0 for a row too short to have a direction. Within these lengths no product with a unit row leaves float32, so that
// every score is a number: the search counts on finding k of them.
float inverse_length(const float* row, std::size_t size, const TileKernel& kernel) {
  const double length = std::sqrt(kernel.squared_length(row, size));
  if (!(length <= kLongest)) {
    throw std::invalid_argument("a descriptor has NaN, infinite or overflowing values; remove that row first");
  }
  return length >= kShortest ? static_cast<float>(1.0 / length) : 0.0f;
}

std::vector<float> inverse_lengths(const float* rows, std::size_t count, std::size_t size) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = inverse_length(rows + i * size, size, plain_kernel());
  return result;
}

}  // namespace

void Normalisation::check() const {
  if (method != 1 && method != 2) throw std::invalid_argument("method must be 1 or 2");
  if (!std::isfinite(beta)) throw std::invalid_argument("beta must be finite");
  if (cosines == 0 || directions == 0) throw std::invalid_argument("cosines and directions must be at least 1");
}

Bank::Bank(const float* rows, std::size_t count, std::size_t size)
    : rows_(rows, count, size, inverse_lengths(rows, count, size), {}) {
  if (count == 0) throw std::invalid_argument("the bank is empty; give at least one descriptor");
}

std::vector<std::vector<Neighbour>> Bank::search_block(const float* queries, std::size_t count, std::size_t k,
                                                       const TileKernel& kernel) const {
  std::vector<float> unit(count * size());
  for (std::size_t i = 0; i < count; ++i) {
    const float scale = inverse_length(queries + i * size(), size(), kernel);
    for (std::size_t k = 0; k < size(); ++k) unit[i * size() + k] = queries[i * size() + k] * scale;
  }
  std::vector<NearestK<Neighbour>> best(count, NearestK<Neighbour>(k));
  std::vector<float> thresholds(count, -std::numeric_limits<float>::infinity());
  const auto add = [&](std::size_t query, std::size_t row, float score) {
    if (best[query].add({score, static_cast<std::int64_t>(row)})) thresholds[query] = best[query].last().cosine;
  };
  const Panels all{0, rows_.panels()};
  if (rows_.filtered_by(kernel)) {
    const QuantisedGroups left(unit.data(), count, size(), kernel.rows);
    filter_tiles(left, count, rows_, all, kernel, thresholds.data(), [&](std::size_t query, std::size_t row) {
      const float score = kernel.dot(unit.data() + query * size(), rows_.row(row), size()) * rows_.scale(row);
      if (score > thresholds[query]) add(query, row, score);
    });
  } else {
    scan_tiles(PackedRows(unit.data(), count, size(), kernel.rows), rows_, all, kernel, thresholds.data(), add);
  }
  std::vector<std::vector<Neighbour>> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = best[i].sorted();
  return result;
}

void Bank::check_k(std::size_t k) const {
  if (k == 0 || k > count()) throw std::invalid_argument("k must be between 1 and the number of bank rows");
}

void Bank::nearest(const float* queries, std::size_t count, std::size_t k, float* cosines, std::int64_t* indices,
                   const TileKernel& kernel, std::size_t threads) const {
  check_k(k);
  rows_.prepare(kernel, threads);
  parallel_blocks(count, rows_per_block(count, kScanRows, kernel.rows, threads), threads,
                  [&](std::size_t begin, std::size_t end) {
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
  const std::size_t used = std::min(how.directions, nearest.size());
  const auto row_of = [&](std::size_t k) { return rows_.row(static_cast<std::size_t>(nearest[k].row)); };
  for (std::size_t k = 0; k < used; ++k) {
    if (k + 2 < used) prefetch_share(row_of(k + 2), size(), 0, 1);
    kernel.add_unit_difference(query, row_of(k), size(), direction.data());
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
  how.check();
  rows_.prepare(kernel, threads);
  parallel_blocks(count, rows_per_block(count, kScanRows, kernel.rows, threads), threads,
                  [&](std::size_t begin, std::size_t end) {
                    normalise_block(queries + begin * size(), end - begin, how, out + begin * size(), kernel);
                  });
}

}  // namespace copytrace
