#include "pair_distances.hpp"

#include <stdexcept>

#include "dispatch.hpp"
#include "parallel.hpp"
#include "scan_tiles.hpp"

namespace copytrace {

namespace {

constexpr std::size_t kPairsAtOnce = 1024;  // that a thread takes
constexpr std::size_t kAhead = 8;           // rows lie anywhere in memory: they are asked for early

bool is_row(std::int64_t number, std::size_t count) { return number >= 0 && static_cast<std::size_t>(number) < count; }

}  // namespace

void pair_distances(const PairedRows& both, const std::int64_t* query, const std::int64_t* row, std::size_t count,
                    double* out, std::size_t threads) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_row(query[i], both.query_count) || !is_row(row[i], both.row_count)) {
      throw std::invalid_argument("a pair names a row that is not there");
    }
  }
  const TileKernel& kernel = *available_kernels().back();
  const auto row_at = [&](std::size_t i) { return both.rows + static_cast<std::size_t>(row[i]) * both.size; };
  parallel_blocks(count, kPairsAtOnce, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      if (i + kAhead < end) prefetch_share(row_at(i + kAhead), both.size, 0, 1);
      out[i] =
          kernel.squared_distance(both.queries + static_cast<std::size_t>(query[i]) * both.size, row_at(i), both.size);
    }
  });
}

}  // namespace copytrace
