#include <algorithm>
#include <cmath>
#include <utility>

#include "sift.hpp"

namespace copytrace::match {
namespace {

constexpr double kSigma = 1.6;       // of the first picture of every octave
constexpr double kGivenSigma = 1.0;  // what a picture of twice the size is taken to have been blurred by
constexpr std::size_t kSlack = 2 * kStep;

struct Weights {
  float values[kMostRadius + 1];
  std::size_t radius;
};

Weights gaussian(double sigma) {
  Weights weights{};
  weights.radius = static_cast<std::size_t>(std::ceil(3.0 * sigma));
  double sum = 0.0, raw[kMostRadius + 1];
  for (std::size_t t = 0; t <= weights.radius; ++t) {
    const double far = static_cast<double>(t);
    raw[t] = std::exp(-far * far / (2.0 * sigma * sigma));
    sum += (t == 0 ? 1.0 : 2.0) * raw[t];
  }
  for (std::size_t t = 0; t <= weights.radius; ++t) weights.values[t] = static_cast<float>(raw[t] / sum);
  return weights;
}

// What leads from each picture of an octave to the next; the first entry from the given one to the first.
const std::array<Weights, kBlurs> steps = [] {
  std::array<Weights, kBlurs> all{};
  all[0] = gaussian(std::sqrt(kSigma * kSigma - kGivenSigma * kGivenSigma));
  for (std::size_t i = 1; i < kBlurs; ++i) {
    const double before = kSigma * std::exp2(static_cast<double>(i - 1) / kLayers);
    const double after = kSigma * std::exp2(static_cast<double>(i) / kLayers);
    all[i] = gaussian(std::sqrt(after * after - before * before));
  }
  return all;
}();

// Twice the size, linearly, pixel centres at quarters; exact.
void enlarge(const std::uint8_t* grey, std::size_t width, std::size_t height, const Plane& out) {
  std::vector<std::int32_t> line(width + 2);
  for (std::size_t y = 0; y < out.height; ++y) {
    const std::size_t near = y / 2, far = y % 2 == 0 ? (near == 0 ? 0 : near - 1) : std::min(near + 1, height - 1);
    const std::uint8_t *a = grey + near * width, *b = grey + far * width;
    for (std::size_t x = 0; x < width; ++x) line[x + 1] = 3 * a[x] + b[x];
    line[0] = line[1];
    line[width + 1] = line[width];
    float* row = out.row(y);
    for (std::size_t x = 0; x < width; ++x) {
      row[2 * x] = static_cast<float>(3 * line[x + 1] + line[x]) * 0.0625f;
      row[2 * x + 1] = static_cast<float>(3 * line[x + 1] + line[x + 2]) * 0.0625f;
    }
  }
}

void halve(const Plane& in, const Plane& out) {
  for (std::size_t y = 0; y < out.height; ++y) {
    const float* from = in.row(2 * y);
    float* to = out.row(y);
    for (std::size_t x = 0; x < out.width; ++x) to[x] = from[2 * x];
  }
}

std::size_t stride_of(std::size_t width) { return (width + kStep - 1) / kStep * kStep; }
std::size_t plane_size(std::size_t width, std::size_t height) { return stride_of(width) * (height + 1) + kSlack; }

// Keypoints need a pixel between the borders.
bool large_enough(std::size_t width, std::size_t height) { return std::min(width, height) > 2 * kBorder; }

}  // namespace

std::vector<Octave> scale_space(const std::uint8_t* grey, std::size_t width, std::size_t height,
                                const SiftKernel& kernel, std::vector<float>& memory) {
  std::size_t needed = plane_size(2 * width, 2 * height) + stride_of(2 * width) + 2 * kMostRadius, count = 0;
  for (std::size_t w = 2 * width, h = 2 * height; large_enough(w, h); w /= 2, h /= 2, ++count) {
    needed += (kBlurs + kDifferences) * plane_size(w, h);
  }
  if (memory.size() < needed) memory.resize(needed);
  float* free = memory.data();
  const auto take = [&free](std::size_t w, std::size_t h) {
    return Plane{std::exchange(free, free + plane_size(w, h)), w, h, stride_of(w)};
  };
  const Plane given = take(2 * width, 2 * height);
  std::vector<Octave> octaves(count);
  for (std::size_t o = 0, w = 2 * width, h = 2 * height; o < count; ++o, w /= 2, h /= 2) {
    for (Plane& plane : octaves[o].blurred) plane = take(w, h);
    for (Plane& plane : octaves[o].differences) plane = take(w, h);
  }
  float* line = free;
  enlarge(grey, width, height, given);
  for (std::size_t o = 0; o < count; ++o) {
    const Octave& octave = octaves[o];
    if (o == 0) {
      kernel.blur(given, octave.blurred[0], nullptr, steps[0].values, steps[0].radius, line);
    } else {
      halve(octaves[o - 1].blurred[kLayers], octave.blurred[0]);
    }
    for (std::size_t i = 1; i < kBlurs; ++i) {
      const Weights& step = steps[i];
      kernel.blur(octave.blurred[i - 1], octave.blurred[i], octave.differences[i - 1].data, step.values, step.radius,
                  line);
    }
  }
  return octaves;
}

}  // namespace copytrace::match
