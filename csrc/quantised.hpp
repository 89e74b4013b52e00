// Rows in eight bits, for telling cheaply which inner products cannot exceed a threshold. The rest is computed in
// float32, so that the result is that of a search in float32: the error of eight bits is bounded row by row, never
// guessed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "packed.hpp"
#include "tile.hpp"

namespace copytrace {

// Right rows: signed bytes in panels of 32 rows, four columns of each row side by side, as the dot-product instruction
// wants.
class QuantisedPanels {
 public:
  // The rows are those of `data`, each multiplied by its `scale` (null: 1).
  QuantisedPanels(const float* data, std::size_t rows, std::size_t depth, const float* scale, std::size_t threads);

  std::size_t quads() const { return quads_; }
  const std::int8_t* panel(std::size_t index) const { return bytes_.data() + index * quads_ * 4 * kPanelRows; }
  const std::int32_t* corrections(std::size_t index) const { return corrections_.data() + index * kPanelRows; }
  const float* scales(std::size_t index) const { return scales_.data() + index * kPanelRows; }
  double longest() const { return longest_; }              // of all rows
  double largest_error() const { return largest_error_; }  // of all rows: length of what the bytes leave out

 private:
  std::size_t quads_;
  std::vector<std::int8_t> bytes_;
  std::vector<std::int32_t> corrections_;  // 128 times the sum of a row's bytes: what the left side's zero point adds
  std::vector<float> scales_;
  double longest_ = 0.0;
  double largest_error_ = 0.0;
};

// Left rows: unsigned bytes with zero point 128, in groups of rows; limits follow from what the filter must not miss.
class QuantisedGroups {
 public:
  QuantisedGroups(const float* data, std::size_t rows, std::size_t depth, std::size_t group,
                  const QuantisedPanels& right);

  const std::uint8_t* group(std::size_t index) const { return bytes_.data() + index * group_ * quads_ * 4; }
  const float* scales(std::size_t index) const { return scales_.data() + index * group_; }

  // What the score computed from bytes exceeds wherever the real one exceeds `threshold`.
  float limit(std::size_t row, float threshold) const { return static_cast<float>(threshold - margins_[row]); }

 private:
  std::size_t group_;
  std::size_t quads_;
  std::vector<std::uint8_t> bytes_;
  std::vector<float> scales_;
  std::vector<double> margins_;
};

}  // namespace copytrace
