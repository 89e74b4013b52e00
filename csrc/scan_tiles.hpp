// The loop that the bank's search and the scan share: every inner product above a threshold is visited, none is stored.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "packed.hpp"
#include "quantised.hpp"
#include "tile.hpp"

namespace copytrace {

// Left rows scanned together: every panel comes from memory once for all of them, and they stay in the second-level
// cache.
inline constexpr std::size_t kScanRows = 384;

// Asks for a share of the next panel while the current one is at work, so that it has come from memory when its turn
// comes.
inline void prefetch_share(const float* panel, std::size_t floats, std::size_t part, std::size_t parts) {
  constexpr std::size_t kLine = 16;
  for (std::size_t i = floats * part / parts; i < floats * (part + 1) / parts; i += kLine)
    __builtin_prefetch(panel + i);
}

// Calls hit(left row, right row, product) wherever product > threshold(left row), right rows ascending for every left
// row. `left` is packed in groups of kernel.rows, `right` in panels.
template <typename Threshold, typename Hit>
void scan_tiles(const PackedRows& left, const PackedRows& right, const TileKernel& kernel, const Threshold& threshold,
                const Hit& hit) {
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  for (std::size_t panel = 0; panel < right.groups(); ++panel) {
    const std::size_t first = panel * kPanelRows;
    const std::uint32_t valid = panel_mask(right.rows() - first);
    for (std::size_t group = 0; group < left.groups(); ++group) {
      if (panel + 1 < right.groups()) {
        prefetch_share(right.group(panel + 1), right.depth() * kPanelRows, group, left.groups());
      }
      kernel.multiply(left.group(group), 1, kernel.rows, right.group(panel), right.depth(), tile);
      const std::size_t row = group * kernel.rows;
      for (std::size_t r = 0; r < std::min(kernel.rows, left.rows() - row); ++r) {
        std::uint32_t hits = kernel.above(tile + r * kPanelRows, threshold(row + r)) & valid;
        for (; hits != 0; hits &= hits - 1) {
          const auto column = static_cast<std::size_t>(__builtin_ctz(hits));
          hit(row + r, first + column, tile[r * kPanelRows + column]);
        }
      }
    }
  }
}

// Calls hit(left row, right row) wherever the product may exceed threshold(left row), and surely wherever it does.
template <typename Threshold, typename Hit>
void filter_tiles(const QuantisedGroups& left, std::size_t left_rows, const QuantisedPanels& right,
                  std::size_t right_rows, const TileKernel& kernel, const Threshold& threshold, const Hit& hit) {
  float limits[kMaxTileRows] = {};
  std::uint32_t masks[kMaxTileRows];
  for (std::size_t first = 0; first < right_rows; first += kPanelRows) {
    const std::size_t panel = first / kPanelRows;
    const std::uint32_t valid = panel_mask(right_rows - first);
    for (std::size_t row = 0; row < left_rows; row += kernel.rows) {
      const std::size_t count = std::min(kernel.rows, left_rows - row);
      for (std::size_t r = 0; r < count; ++r) limits[r] = left.limit(row + r, threshold(row + r));
      kernel.filter(left.group(row / kernel.rows), right.panel(panel), right.quads(), right.corrections(panel),
                    right.scales(panel), limits, masks);
      for (std::size_t r = 0; r < count; ++r) {
        for (std::uint32_t hits = masks[r] & valid; hits != 0; hits &= hits - 1) {
          hit(row + r, first + static_cast<std::size_t>(__builtin_ctz(hits)));
        }
      }
    }
  }
}

}  // namespace copytrace
