#include "quantised.hpp"

#include <algorithm>
#include <cmath>

namespace copytrace {

namespace {

constexpr double kSteps = 127.0;
constexpr double kFinestScale = 1e-35;  // a finer one would lose its own digits in float32
// Relative rounding of the float32 arithmetic around the integer product, and of the float32 product it stands for.
constexpr double kRounding = 1e-5;

struct Quantised {
  double scale = 1.0;
  double error = 0.0;   // length of the difference between the row and its bytes
  double length = 0.0;  // of the row
};

// Calls put(column, whole number in -127..127) for every column of a row.
template <typename Put>
Quantised quantise(const float* row, std::size_t depth, double factor, const Put& put) {
  double largest = 0.0;
  for (std::size_t k = 0; k < depth; ++k) largest = std::max(largest, std::abs(row[k] * factor));
  Quantised result;
  if (largest > 0.0) result.scale = std::max(largest / kSteps, kFinestScale);
  for (std::size_t k = 0; k < depth; ++k) {
    const double value = row[k] * factor;
    const double whole = std::nearbyint(value / result.scale);
    const double difference = value - whole * result.scale;
    result.error += difference * difference;
    result.length += value * value;
    put(k, static_cast<int>(whole));
  }
  result.error = std::sqrt(result.error);
  result.length = std::sqrt(result.length);
  return result;
}

}  // namespace

QuantisedPanels::QuantisedPanels(const float* data, std::size_t rows, std::size_t depth, const float* scale)
    : quads_((depth + 3) / 4) {
  const std::size_t panels = (rows + kPanelRows - 1) / kPanelRows;
  bytes_.resize(panels * kPanelRows * quads_ * 4);
  corrections_.resize(panels * kPanelRows);
  scales_.resize(panels * kPanelRows);
  for (std::size_t row = 0; row < rows; ++row) {
    std::int8_t* target = bytes_.data() + row / kPanelRows * kPanelRows * quads_ * 4 + row % kPanelRows * 4;
    std::int32_t sum = 0;
    const Quantised result =
        quantise(data + row * depth, depth, scale == nullptr ? 1.0 : scale[row], [&](std::size_t k, int whole) {
          target[k / 4 * kPanelRows * 4 + k % 4] = static_cast<std::int8_t>(whole);
          sum += whole;
        });
    corrections_[row] = 128 * sum;
    scales_[row] = static_cast<float>(result.scale);
    longest_ = std::max(longest_, result.length);
    largest_error_ = std::max(largest_error_, result.error);
  }
}

QuantisedGroups::QuantisedGroups(const float* data, std::size_t rows, std::size_t depth, std::size_t group,
                                 const QuantisedPanels& right)
    : group_(group), quads_(right.quads()), margins_(rows) {
  const std::size_t filled = (rows + group - 1) / group * group;
  bytes_.resize(filled * quads_ * 4, 128);
  scales_.resize(filled, 1.0f);
  for (std::size_t row = 0; row < rows; ++row) {
    std::uint8_t* target = bytes_.data() + row / group * group * quads_ * 4 + row % group * 4;
    const Quantised result = quantise(data + row * depth, depth, 1.0, [&](std::size_t k, int whole) {
      target[k / 4 * group * 4 + k % 4] = static_cast<std::uint8_t>(whole + 128);
    });
    scales_[row] = static_cast<float>(result.scale);
    // |q.t - q^.t^| <= |q - q^| |t| + |q^| |t - t^|, by Cauchy and Schwarz. An offset is at most |t|^2 / 2.
    margins_[row] = result.error * right.longest() + (result.length + result.error) * right.largest_error() +
                    kRounding * right.longest() * (result.length + right.longest());
  }
}

}  // namespace copytrace
