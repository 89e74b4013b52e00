#include "sift.hpp"

#include <algorithm>
#include <cmath>

#include "nearest.hpp"

namespace copytrace::match {
namespace {

constexpr double kSigma = 1.6, kPi = 3.14159265358979323846;
constexpr std::size_t kBins = 36;
constexpr double kPeak = 0.8;               // of the highest bin
constexpr double kDirectionExtent = 9.0;    // side of the patch for the direction, in sigmas
constexpr double kDescriptorExtent = 15.0;  // and for the descriptor: five cells of three
constexpr float kMostShare = 0.2f, kUnit = 512.0f;
static_assert(kDescriptor == kCells * kCells * kDirections);
constexpr std::size_t kKeptFloats = std::size_t{1} << 22;  // of memory, from picture to picture

// exp(-far^2 / (2 sigma^2)) over a patch whose side is `extent`.
std::array<float, kGradients> bell(double extent, double sigma) {
  std::array<float, kGradients> weights{};
  for (std::size_t i = 0; i < kGradients; ++i) {
    const double x = (static_cast<double>(i % kGrid) - 7.5) * (extent / kGrid);
    const double y = (static_cast<double>(i / kGrid) - 7.5) * (extent / kGrid);
    weights[i] = static_cast<float>(std::exp(-(x * x + y * y) / (2.0 * sigma * sigma)));
  }
  return weights;
}

const auto direction_weights = bell(kDirectionExtent, kDirectionExtent / 6.0);
const auto descriptor_weights = bell(kDescriptorExtent, kDescriptorExtent / 5.0 * kCells / 2.0);

double sigma_of(const Extremum& place) { return kSigma * std::exp2(place.scale / kLayers); }

struct Gradients {
  float lengths[kGradients], turns[kGradients];

  Gradients(const Octave& octave, const Extremum& place, double direction, double extent,
            const std::array<float, kGradients>& weights, const SiftKernel& kernel) {
    const double step = sigma_of(place) * extent / kGrid, angle = 2.0 * kPi * direction;
    const Patch patch{static_cast<float>(place.x), static_cast<float>(place.y),
                      static_cast<float>(step * std::cos(angle)), static_cast<float>(step * std::sin(angle))};
    kernel.gradients(octave.blurred[place.layer], patch, weights.data(), lengths, turns);
  }
};

}  // namespace

std::vector<double> directions(const Octave& octave, const Extremum& place, const SiftKernel& kernel) {
  const Gradients found(octave, place, 0.0, kDirectionExtent, direction_weights, kernel);
  double raw[kBins] = {}, bins[kBins];
  for (std::size_t i = 0; i < kGradients; ++i) {
    const auto bin = static_cast<std::size_t>(found.turns[i] * static_cast<float>(kBins) + 0.5f);
    raw[bin % kBins] += found.lengths[i];
  }
  const auto at = [&](const double* values, std::size_t i, std::size_t far) { return values[(i + far) % kBins]; };
  for (std::size_t i = 0; i < kBins; ++i) {
    bins[i] = 0.0625 * (at(raw, i, kBins - 2) + at(raw, i, 2)) + 0.25 * (at(raw, i, kBins - 1) + at(raw, i, 1)) +
              0.375 * raw[i];
  }
  const double least = kPeak * *std::max_element(bins, bins + kBins);
  std::vector<double> peaks;
  for (std::size_t i = 0; i < kBins; ++i) {
    const double left = at(bins, i, kBins - 1), right = at(bins, i, 1);
    if (!(bins[i] > left && bins[i] > right && bins[i] >= least)) continue;
    const double bin = static_cast<double>(i) + 0.5 * (left - right) / (left - 2.0 * bins[i] + right);
    peaks.push_back((bin < 0.0 ? bin + kBins : bin) / kBins);
  }
  std::sort(peaks.begin(), peaks.end());
  return peaks;
}

void describe(const Octave& octave, const Extremum& place, double direction, const SiftKernel& kernel,
              std::uint8_t* descriptor) {
  const Gradients found(octave, place, direction, kDescriptorExtent, descriptor_weights, kernel);
  float values[kDescriptor];
  kernel.pool(found.lengths, found.turns, values);
  float squares = 0.0f, sum = 0.0f;
  for (const float value : values) squares += value * value;
  const float most = kMostShare * std::sqrt(squares);
  for (float& value : values) sum += value = std::min(value, most);
  for (std::size_t k = 0; k < kDescriptor; ++k) {
    const float root = sum > 0.0f ? std::sqrt(values[k] / sum) : 0.0f;
    descriptor[k] = static_cast<std::uint8_t>(std::min(std::nearbyint(root * kUnit), 255.0f));
  }
}

SiftFeatures extract_sift(const std::uint8_t* grey, std::size_t width, std::size_t height, std::size_t most,
                          const SiftKernel& kernel) {
  thread_local std::vector<float> memory;  // new pages would cost as much as the blurs
  const std::vector<Octave> octaves = scale_space(grey, width, height, kernel, memory);
  SiftFeatures features;
  for (const Extremum& place : find_extrema(octaves, kernel)) {
    if (features.keypoints.size() >= most) break;
    const Octave& octave = octaves[place.octave];
    const double pixel = std::exp2(static_cast<double>(place.octave) - 1.0);  // of the octave, in those of the picture
    for (const double direction : directions(octave, place, kernel)) {
      if (features.keypoints.size() >= most) break;
      features.keypoints.push_back(
          {place.x * pixel - 0.25, place.y * pixel - 0.25, 2.0 * sigma_of(place) * pixel, 360.0 * direction});
      features.descriptors.resize(features.descriptors.size() + kDescriptor);
      describe(octave, place, direction, kernel,
               features.descriptors.data() + features.descriptors.size() - kDescriptor);
    }
  }
  if (memory.size() > kKeptFloats) std::vector<float>().swap(memory);
  return features;
}

}  // namespace copytrace::match
