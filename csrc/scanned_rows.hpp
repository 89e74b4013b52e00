// Rows copied into the core, beside the one form its kernels scan: bytes where the processor multiplies bytes fast,
// packed float32 elsewhere. What a row scores for a query is their inner product less the row's offset.
#pragma once
#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

#include "packed.hpp"
#include "quantised.hpp"
#include "tile.hpp"

namespace copytrace {

class ScannedRows {
 public:
  // Copies `rows` [count, size]. Row i counts as rows[i] * scales[i] (empty: 1) and has offsets[i] (empty: 0).
  ScannedRows(const float* rows, std::size_t count, std::size_t size, std::vector<float> scales,
              std::vector<float> offsets);

  std::size_t count() const { return count_; }
  std::size_t size() const { return size_; }
  std::size_t panels() const { return (count_ + kPanelRows - 1) / kPanelRows; }
  const float* row(std::size_t index) const { return rows_.data() + index * size_; }
  float scale(std::size_t index) const { return scales_.empty() ? 1.0f : scales_[index]; }
  float offset(std::size_t index) const { return offsets_[index]; }
  const float* offsets(std::size_t panel) const { return offsets_.data() + panel * kPanelRows; }

  // Whether a kernel scans the bytes.
  bool filtered_by(const TileKernel& kernel) const;

  // Makes the form that a kernel scans, when one first asks for it: a processor pays for one of them only. To be called
  // before they are. In a process forked amid that, glibc's call_once begins anew.
  void prepare(const TileKernel& kernel, std::size_t threads) const;
  const PackedRows& packed() const { return *packed_; }
  const QuantisedPanels& quantised() const { return *quantised_; }

 private:
  const float* scales() const { return scales_.empty() ? nullptr : scales_.data(); }

  std::size_t count_;
  std::size_t size_;
  std::vector<float> rows_;
  std::vector<float> scales_;
  std::vector<float> offsets_;
  mutable std::once_flag packing_;
  mutable std::once_flag quantising_;
  mutable std::unique_ptr<PackedRows> packed_;
  mutable std::unique_ptr<QuantisedPanels> quantised_;
};

}  // namespace copytrace
