#include "scan.hpp"

#include "parallel.hpp"
#include "scan_tiles.hpp"

namespace copytrace {

Scan::Scan(const float* rows, std::size_t count, std::size_t size) : packed_(rows, count, size, kPanelRows) {}

void Scan::scan_block(const float* queries, std::size_t begin, std::size_t end, const float* thresholds,
                      const TileKernel& kernel, std::vector<Pair>& found) const {
  const PackedRows left(queries + begin * size(), end - begin, size(), kernel.rows);
  scan_tiles(
      left, packed_, kernel, [&](std::size_t query) { return thresholds[begin + query]; },
      [&](std::size_t query, std::size_t row, float) {
        found.push_back({static_cast<std::int64_t>(begin + query), static_cast<std::int64_t>(row)});
      });
}

std::vector<Pair> Scan::above(const float* queries, std::size_t count, const float* thresholds,
                              const TileKernel& kernel, std::size_t threads) const {
  const std::size_t block = rows_per_block(count, kScanRows, kernel.rows, threads);
  std::vector<std::vector<Pair>> parts((count + block - 1) / block);
  parallel_blocks(count, block, threads, [&](std::size_t begin, std::size_t end) {
    scan_block(queries, begin, end, thresholds, kernel, parts[begin / block]);
  });
  std::vector<Pair> found;
  std::size_t total = 0;
  for (const auto& part : parts) total += part.size();
  found.reserve(total);
  for (auto& part : parts) {
    found.insert(found.end(), part.begin(), part.end());
    std::vector<Pair>().swap(part);
  }
  return found;
}

}  // namespace copytrace
