#include "scan.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace copytrace {

Scan::Scan(const float* rows, std::size_t count, std::size_t size) : packed_(rows, count, size, kPanelRows) {}

void Scan::scan_block(const float* queries, std::size_t begin, std::size_t end, const float* thresholds,
                      const TileKernel& kernel, std::vector<Pair>& found) const {
  const PackedRows left(queries + begin * size(), end - begin, size(), kernel.rows);
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  for (std::size_t panel = 0; panel < packed_.groups(); ++panel) {
    const std::size_t first = panel * kPanelRows;
    const std::uint32_t valid = panel_mask(packed_.rows() - first);
    for (std::size_t group = 0; group < left.groups(); ++group) {
      kernel.multiply(left.group(group), 1, kernel.rows, packed_.group(panel), size(), tile);
      const std::size_t row = begin + group * kernel.rows;
      for (std::size_t r = 0; r < std::min(kernel.rows, end - row); ++r) {
        std::uint32_t hits = kernel.above(tile + r * kPanelRows, thresholds[row + r]) & valid;
        for (; hits != 0; hits &= hits - 1) {
          const auto column = static_cast<std::size_t>(__builtin_ctz(hits));
          found.push_back({static_cast<std::int64_t>(row + r), static_cast<std::int64_t>(first + column)});
        }
      }
    }
  }
}

std::vector<Pair> Scan::above(const float* queries, std::size_t count, const float* thresholds,
                              const TileKernel& kernel, std::size_t threads) const {
  const std::size_t block = rows_per_block(count, kernel.rows, threads);
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
