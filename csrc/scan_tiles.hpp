// The loops that every search shares: each row whose score exceeds a query's threshold is visited, no score is stored.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "packed.hpp"
#include "quantised.hpp"
#include "scanned_rows.hpp"
#include "tile.hpp"

namespace copytrace {

// Queries scanned together: every panel comes from memory once for all of them, and they stay in the second-level
// cache.
inline constexpr std::size_t kScanRows = 384;

// A run of panels of the scanned rows, or every step-th of it.
struct Panels {
  std::size_t begin;
  std::size_t end;
  std::size_t step = 1;
};

// Asks for a share of the next panel while the current one is at work, so that it has come from memory when its turn
// comes.
inline void prefetch_share(const float* panel, std::size_t floats, std::size_t part, std::size_t parts) {
  constexpr std::size_t kLine = 16;
  for (std::size_t i = floats * part / parts; i < floats * (part + 1) / parts; i += kLine)
    __builtin_prefetch(panel + i);
}

// Calls hit(query, row, score) wherever score > thresholds[query], rows ascending for every query. `queries` are packed
// in groups of kernel.rows. Thresholds are read again for every panel: a hit may raise them.
template <typename Hit>
void scan_tiles(const PackedRows& queries, const ScannedRows& rows, Panels panels, const TileKernel& kernel,
                const float* thresholds, const Hit& hit) {
  alignas(64) float tile[kMaxTileRows * kPanelRows];
  const PackedRows& right = rows.packed();
  for (std::size_t panel = panels.begin; panel < panels.end; panel += panels.step) {
    const std::size_t first = panel * kPanelRows;
    const std::uint32_t valid = panel_mask(rows.count() - first);
    const float* offsets = rows.offsets(panel);
    for (std::size_t group = 0; group < queries.groups(); ++group) {
      if (panel + panels.step < panels.end) {
        prefetch_share(right.group(panel + panels.step), right.depth() * kPanelRows, group, queries.groups());
      }
      kernel.multiply(queries.group(group), 1, kernel.rows, right.group(panel), right.depth(), tile);
      const std::size_t query = group * kernel.rows;
      for (std::size_t r = 0; r < std::min(kernel.rows, queries.rows() - query); ++r) {
        const float* products = tile + r * kPanelRows;
        std::uint32_t hits = kernel.above(products, offsets, thresholds[query + r]) & valid;
        for (; hits != 0; hits &= hits - 1) {
          const auto column = static_cast<std::size_t>(__builtin_ctz(hits));
          hit(query + r, first + column, products[column] - offsets[column]);
        }
      }
    }
  }
}

// Calls hit(query, row) wherever the score may exceed thresholds[query], and surely wherever it does; see above.
template <typename Hit>
void filter_tiles(const QuantisedGroups& queries, std::size_t count, const ScannedRows& rows, Panels panels,
                  const TileKernel& kernel, const float* thresholds, const Hit& hit) {
  float limits[kMaxTileRows] = {};
  std::uint32_t masks[kMaxTileRows];
  const QuantisedPanels& right = rows.quantised();
  for (std::size_t panel = panels.begin; panel < panels.end; panel += panels.step) {
    const std::size_t first = panel * kPanelRows;
    const double longest = right.longest(panel);
    const std::uint32_t valid = panel_mask(rows.count() - first);
    for (std::size_t query = 0; query < count; query += kernel.rows) {
      const std::size_t group = query / kernel.rows;
      const std::size_t used = std::min(kernel.rows, count - query);
      for (std::size_t r = 0; r < used; ++r) limits[r] = queries.limit(query + r, thresholds[query + r], longest);
      kernel.filter(
          {queries.group(group), queries.scales(group), right.panel(panel), right.corrections(panel),
           right.scales(panel), right.errors(panel), rows.offsets(panel), queries.longest(group), right.quads()},
          limits, masks);
      for (std::size_t r = 0; r < used; ++r) {
        for (std::uint32_t hits = masks[r] & valid; hits != 0; hits &= hits - 1) {
          hit(query + r, first + static_cast<std::size_t>(__builtin_ctz(hits)));
        }
      }
    }
  }
}

}  // namespace copytrace
