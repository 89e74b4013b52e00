#include "references.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "dispatch.hpp"
#include "parallel.hpp"

namespace copytrace {

namespace {

constexpr double kLongestSquare = 1e37;    // products of two rows stay within float32
constexpr std::size_t kFewestPanels = 64;  // worth a thread of their own

std::vector<double> checked_squares(const float* rows, std::size_t count, std::size_t size) {
  const TileKernel& kernel = *available_kernels().back();
  std::vector<double> squares(count);
  for (std::size_t i = 0; i < count; ++i) {
    squares[i] = kernel.squared_length(rows + i * size, size);
    if (!std::isfinite(squares[i])) throw std::invalid_argument("descriptors have NaN or infinite values");
    if (squares[i] > kLongestSquare) {
      throw std::invalid_argument("descriptors are too large for float32 distances; scale them down");
    }
  }
  return squares;
}

std::vector<float> halves(const std::vector<double>& squares) {
  std::vector<float> result(squares.size());
  for (std::size_t i = 0; i < squares.size(); ++i) result[i] = static_cast<float>(squares[i] / 2.0);
  return result;
}

// Scores must exceed a threshold, not only reach it.
float below(double score) { return std::nextafter(static_cast<float>(score), -std::numeric_limits<float>::infinity()); }

struct TooMany {};

}  // namespace

Queries::Queries(const float* data, std::size_t count, std::size_t size)
    : data(data), count(count), size(size), squares(checked_squares(data, count, size)) {}

References::References(const float* rows, std::size_t count, std::size_t size)
    : References(rows, count, size, checked_squares(rows, count, size)) {}

References::References(const float* rows, std::size_t count, std::size_t size, const std::vector<double>& squares)
    : rows_(rows, count, size, {}, halves(squares)),
      longest_square_(count == 0 ? 0.0 : *std::max_element(squares.begin(), squares.end())) {}

// That of |q|^2 + |r|^2 - 2 q.r added up in float32, four times over.
double References::rounding(double query_square) const {
  return 4.0 * static_cast<double>(size() + 8) * std::ldexp(query_square + longest_square_, -24);
}

float References::threshold(double query_square, double limit) const {
  return below((query_square - (limit + rounding(query_square))) / 2.0);
}

// Two scores may each be wrong by half of the bound on distances.
float References::threshold_beside(double query_square, float score) const {
  return below(score - rounding(query_square));
}

std::optional<std::vector<FoundPair>> References::within(const Queries& queries, double limit, std::size_t most,
                                                         const std::uint8_t* alive, const TileKernel& kernel,
                                                         std::size_t threads) const {
  prepare(kernel, threads);
  const SearchGrid grid(queries.count, panels(), kernel.rows, threads);
  std::vector<std::vector<FoundPair>> parts(grid.tasks());
  std::atomic<std::size_t> total{0};
  const auto task = [&](std::size_t number) {
    const std::size_t begin = grid.begin(number), end = grid.end(number);
    std::vector<float> thresholds(end - begin);
    for (std::size_t i = begin; i < end; ++i) thresholds[i - begin] = threshold(queries.squares[i], limit);
    propose(queries, begin, end, grid.panels(number), thresholds.data(), kernel,
            [&](std::size_t query, std::size_t row, float) {
              if (alive != nullptr && alive[row] == 0) return;
              const double distance = kernel.squared_distance(queries.row(query), this->row(row), size());
              if (!(distance <= limit)) return;
              if (total.fetch_add(1, std::memory_order_relaxed) >= most) throw TooMany();
              parts[number].push_back({static_cast<std::int64_t>(query), static_cast<std::int64_t>(row), distance});
            });
  };
  try {
    parallel_blocks(grid.tasks(), 1, threads, [&](std::size_t number, std::size_t) { task(number); });
  } catch (const TooMany&) {
    return std::nullopt;
  }
  std::vector<FoundPair> found;
  found.reserve(total);
  for (auto& part : parts) {
    found.insert(found.end(), part.begin(), part.end());
    std::vector<FoundPair>().swap(part);
  }
  return found;
}

SearchGrid::SearchGrid(std::size_t queries, std::size_t panels, std::size_t tile_rows, std::size_t threads)
    : queries_(queries), panels_(panels), block_(rows_per_block(queries, kScanRows, tile_rows, threads)) {
  blocks_ = (queries + block_ - 1) / block_;
  const std::size_t spare = blocks_ == 0 ? 1 : usable_threads(threads) / blocks_;
  parts_ = std::max<std::size_t>(std::min(spare, panels / kFewestPanels), 1);
}

}  // namespace copytrace
