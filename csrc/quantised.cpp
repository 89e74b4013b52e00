#include "quantised.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "parallel.hpp"

namespace copytrace {

namespace {

constexpr double kSteps = 127.0;
constexpr double kRounder = 6755399441055744.0;  // 1.5 * 2^52: adding and subtracting it leaves a whole number
constexpr double kFinestScale = 1e-35;           // a finer one would lose its own digits in float32

struct Quantised {
  double scale = 1.0;
  double error = 0.0;   // length of the difference between the row and its bytes
  double length = 0.0;  // of the row
};

// Sums and maxima in lanes, which compilers turn into vectors.
constexpr std::size_t kLanes = 8;

double largest_of(const float* row, std::size_t depth) {
  float lanes[kLanes] = {};
  std::size_t k = 0;
  for (; k + kLanes <= depth; k += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lanes[j] = std::max(lanes[j], std::abs(row[k + j]));
  }
  for (; k < depth; ++k) lanes[0] = std::max(lanes[0], std::abs(row[k]));
  return *std::max_element(lanes, lanes + kLanes);
}

// Calls put(column, whole number in -127..127) for every column of a row.
template <typename Put>
Quantised quantise(const float* row, std::size_t depth, double factor, const Put& put) {
  Quantised result;
  const double largest = largest_of(row, depth) * std::abs(factor);
  if (largest > 0.0) result.scale = std::max(largest / kSteps, kFinestScale);
  const double inverse = 1.0 / result.scale;
  double errors[kLanes] = {}, lengths[kLanes] = {};
  for (std::size_t k = 0; k < depth; k += kLanes) {
    double whole[kLanes] = {};
    const std::size_t count = std::min(kLanes, depth - k);
    const float* values = row + k;
    float padded[kLanes] = {};
    if (count < kLanes) values = std::copy_n(values, count, padded) - count;
    for (std::size_t j = 0; j < kLanes; ++j) {
      const double value = values[j] * factor;
      whole[j] = (value * inverse + kRounder) - kRounder;
      const double difference = value - whole[j] * result.scale;
      errors[j] += difference * difference;
      lengths[j] += value * value;
    }
    for (std::size_t j = 0; j < count; ++j) put(k + j, static_cast<int>(whole[j]));
  }
  result.error = std::sqrt(std::accumulate(errors, errors + kLanes, 0.0));
  result.length = std::sqrt(std::accumulate(lengths, lengths + kLanes, 0.0));
  return result;
}

// In float32, never less: the digits that it has room for, and one more.
float at_least(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

}  // namespace

QuantisedPanels::QuantisedPanels(const float* data, std::size_t rows, std::size_t depth, const float* scale,
                                 std::size_t threads)
    : quads_((depth + 3) / 4) {
  const std::size_t panels = (rows + kPanelRows - 1) / kPanelRows;
  bytes_.resize(panels * kPanelRows * quads_ * 4);
  corrections_.resize(panels * kPanelRows);
  scales_.resize(panels * kPanelRows);
  errors_.resize(panels * kPanelRows);
  longest_.resize(panels);
  parallel_blocks(rows, 32 * kPanelRows, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      std::int8_t* target = bytes_.data() + row / kPanelRows * kPanelRows * quads_ * 4 + row % kPanelRows * 4;
      std::int32_t sum = 0;
      const double factor = scale == nullptr ? 1.0 : scale[row];
      const Quantised result = quantise(data + row * depth, depth, factor, [&](std::size_t k, int whole) {
        target[k / 4 * kPanelRows * 4 + k % 4] = static_cast<std::int8_t>(whole);
        sum += whole;
      });
      corrections_[row] = 128 * sum;
      scales_[row] = static_cast<float>(result.scale);
      errors_[row] = at_least(result.error);
      double& longest = longest_[row / kPanelRows];  // blocks are of whole panels
      longest = std::max(longest, result.length);
    }
  });
}

QuantisedGroups::QuantisedGroups(const float* data, std::size_t rows, std::size_t depth, std::size_t group)
    : group_(group), quads_((depth + 3) / 4), longest_((rows + group - 1) / group), errors_(rows), lengths_(rows) {
  const std::size_t filled = (rows + group - 1) / group * group;
  bytes_.resize(filled * quads_ * 4, 128);
  scales_.resize(filled, 1.0f);
  for (std::size_t row = 0; row < rows; ++row) {
    std::uint8_t* target = bytes_.data() + row / group * group * quads_ * 4 + row % group * 4;
    const Quantised result = quantise(data + row * depth, depth, 1.0, [&](std::size_t k, int whole) {
      target[k / 4 * group * 4 + k % 4] = static_cast<std::uint8_t>(whole + 128);
    });
    scales_[row] = static_cast<float>(result.scale);
    errors_[row] = result.error;
    lengths_[row] = result.length;
    longest_[row / group] = std::max(longest_[row / group], at_least(result.length + result.error));
  }
}

}  // namespace copytrace
