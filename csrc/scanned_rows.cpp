#include "scanned_rows.hpp"

#include <cstdint>
#include <limits>
#include <utility>

namespace copytrace {

namespace {
// Rows longer than this could sum up to more than 32 bits hold.
constexpr std::size_t kMostBytes = std::numeric_limits<std::int32_t>::max() / (255 * 127);
}  // namespace

ScannedRows::ScannedRows(const float* rows, std::size_t count, std::size_t size, std::vector<float> scales,
                         std::vector<float> offsets)
    : count_(count),
      size_(size),
      rows_(rows, rows + count * size),
      scales_(std::move(scales)),
      offsets_(std::move(offsets)) {
  offsets_.resize(panels() * kPanelRows, 0.0f);
}

bool ScannedRows::filtered_by(const TileKernel& kernel) const {
  return kernel.filter != nullptr && size_ <= kMostBytes;
}

void ScannedRows::prepare(const TileKernel& kernel, std::size_t threads) const {
  if (filtered_by(kernel)) {
    std::call_once(quantising_, [&] {
      quantised_ = std::make_unique<QuantisedPanels>(rows_.data(), count_, size_, scales(), threads);
    });
  } else {
    std::call_once(packing_,
                   [&] { packed_ = std::make_unique<PackedRows>(rows_.data(), count_, size_, kPanelRows, scales()); });
  }
}

}  // namespace copytrace
