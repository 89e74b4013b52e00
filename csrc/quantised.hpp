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
  const float* errors(std::size_t index) const { return errors_.data() + index * kPanelRows; }  // see ByteTile
  double longest(std::size_t index) const { return longest_[index]; }                           // of a panel's rows

 private:
  std::size_t quads_;
  std::vector<std::int8_t> bytes_;
  std::vector<std::int32_t> corrections_;  // 128 times the sum of a row's bytes: what the left side's zero point adds
  std::vector<float> scales_;
  std::vector<float> errors_;
  std::vector<double> longest_;
};

// Left rows: unsigned bytes with zero point 128, in groups of rows; limits follow from what the filter must not miss.
class QuantisedGroups {
 public:
  QuantisedGroups(const float* data, std::size_t rows, std::size_t depth, std::size_t group);

  const std::uint8_t* group(std::size_t index) const { return bytes_.data() + index * group_ * quads_ * 4; }
  const float* scales(std::size_t index) const { return scales_.data() + index * group_; }
  float longest(std::size_t index) const { return longest_[index]; }  // of a group's rows as bytes, at most

  // What the score of a kernel's filter exceeds wherever the real one exceeds `threshold`, for right rows of at most a
  // length: |q.t - q^.t^| <= |q - q^| |t| + |q^| |t - t^|, by Cauchy and Schwarz, and the filter adds the second part.
  float limit(std::size_t row, float threshold, double length) const {
    return static_cast<float>(threshold - length * (errors_[row] + kRounding * (lengths_[row] + length)));
  }

 private:
  // Relative rounding of the float32 arithmetic around the integer product, and of the float32 product it stands for.
  // An offset is at most |t|^2 / 2.
  static constexpr double kRounding = 1e-5;

  std::size_t group_;
  std::size_t quads_;
  std::vector<std::uint8_t> bytes_;
  std::vector<float> scales_;
  std::vector<float> longest_;
  std::vector<double> errors_;   // lengths of what the bytes leave out
  std::vector<double> lengths_;  // of the rows
};

}  // namespace copytrace
