#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>

#include "sift.hpp"

namespace copytrace::match {
namespace {

// In grey levels of 0 to 255. A difference below half of the least response is not looked at.
constexpr double kLeastResponse = 255.0 * 0.01 / kLayers;
constexpr float kThreshold = static_cast<float>(0.5 * kLeastResponse);
constexpr double kEdge = 10.0;
constexpr int kSteps = 5;

// A difference around a place, and its derivatives.
struct Neighbourhood {
  double value, x, y, s, xx, yy, ss, xy, xs, ys;
};

Neighbourhood around(const Octave& octave, std::size_t layer, std::size_t row, std::size_t column) {
  const auto at = [&](int s, int y, int x) {
    const Plane& plane = octave.differences[static_cast<std::size_t>(static_cast<int>(layer) + s)];
    return static_cast<double>(
        plane.row(row)[static_cast<std::ptrdiff_t>(column) + x + y * static_cast<std::ptrdiff_t>(plane.stride)]);
  };
  const double value = at(0, 0, 0);
  return {value,
          0.5 * (at(0, 0, 1) - at(0, 0, -1)),
          0.5 * (at(0, 1, 0) - at(0, -1, 0)),
          0.5 * (at(1, 0, 0) - at(-1, 0, 0)),
          at(0, 0, 1) + at(0, 0, -1) - 2.0 * value,
          at(0, 1, 0) + at(0, -1, 0) - 2.0 * value,
          at(1, 0, 0) + at(-1, 0, 0) - 2.0 * value,
          0.25 * (at(0, 1, 1) - at(0, 1, -1) - at(0, -1, 1) + at(0, -1, -1)),
          0.25 * (at(1, 0, 1) - at(1, 0, -1) - at(-1, 0, 1) + at(-1, 0, -1)),
          0.25 * (at(1, 1, 0) - at(1, -1, 0) - at(-1, 1, 0) + at(-1, -1, 0))};
}

// Where the parabola through a neighbourhood has its extremum: x, y, s from the middle; by Cramer's rule.
std::optional<std::array<double, 3>> offset(const Neighbourhood& n) {
  const double a = n.yy * n.ss - n.ys * n.ys, b = n.xy * n.ss - n.ys * n.xs, c = n.xy * n.ys - n.yy * n.xs;
  const double whole = n.xx * a - n.xy * b + n.xs * c;
  if (whole == 0.0) return std::nullopt;
  const double p = n.y * n.ss - n.ys * n.s, q = n.y * n.ys - n.yy * n.s, r = n.xy * n.s - n.y * n.xs;
  return std::array<double, 3>{-(n.x * a - n.xy * p + n.xs * q) / whole, -(n.xx * p - n.x * b + n.xs * r) / whole,
                               -(-n.xx * q - n.xy * r + n.x * c) / whole};
}

bool edge(const Neighbourhood& n) {
  const double trace = n.xx + n.yy, area = n.xx * n.yy - n.xy * n.xy;
  return area <= 0.0 || trace * trace * kEdge >= (kEdge + 1.0) * (kEdge + 1.0) * area;
}

std::optional<Extremum> refined(const Octave& octave, std::size_t number, std::size_t layer, std::size_t row,
                                std::size_t column) {
  const auto width = static_cast<double>(octave.blurred[0].width),
             height = static_cast<double>(octave.blurred[0].height);
  for (int step = 0; step < kSteps; ++step) {
    const Neighbourhood n = around(octave, layer, row, column);
    const auto from = offset(n);
    if (!from) return std::nullopt;
    const auto [x, y, s] = *from;
    if (std::abs(x) < 0.5 && std::abs(y) < 0.5 && std::abs(s) < 0.5) {
      const double response = std::abs(n.value + 0.5 * (n.x * x + n.y * y + n.s * s));
      if (response < kLeastResponse || edge(n)) return std::nullopt;
      return Extremum{
          number,  layer, static_cast<double>(column) + x, static_cast<double>(row) + y, static_cast<double>(layer) + s,
          response};
    }
    const double to_column = static_cast<double>(column) + std::nearbyint(x);
    const double to_row = static_cast<double>(row) + std::nearbyint(y);
    const double to_layer = static_cast<double>(layer) + std::nearbyint(s);
    if (!(to_layer >= 1 && to_layer <= kLayers && to_column >= kBorder && to_column < width - kBorder &&
          to_row >= kBorder && to_row < height - kBorder)) {
      return std::nullopt;
    }
    column = static_cast<std::size_t>(to_column);
    row = static_cast<std::size_t>(to_row);
    layer = static_cast<std::size_t>(to_layer);
  }
  return std::nullopt;
}

auto key(const Extremum& e) { return std::make_tuple(-e.response, e.octave, e.scale, e.y, e.x); }

}  // namespace

std::vector<Extremum> find_extrema(const std::vector<Octave>& octaves, const SiftKernel& kernel) {
  std::vector<Extremum> found;
  std::vector<std::uint32_t> columns;
  for (std::size_t number = 0; number < octaves.size(); ++number) {
    const Octave& octave = octaves[number];
    const std::size_t width = octave.blurred[0].width, height = octave.blurred[0].height;
    columns.resize(width);
    for (std::size_t row = kBorder; row < height - kBorder; ++row) {
      for (std::size_t layer = 1; layer <= kLayers; ++layer) {
        const Plane *below = &octave.differences[layer - 1], *at = below + 1, *above = below + 2;
        const std::size_t count = kernel.extrema(below->row(row), at->row(row), above->row(row), at->stride, kBorder,
                                                 width - kBorder, kThreshold, columns.data());
        for (std::size_t i = 0; i < count; ++i) {
          if (const auto one = refined(octave, number, layer, row, columns[i])) found.push_back(*one);
        }
      }
    }
  }
  std::sort(found.begin(), found.end(), [](const Extremum& a, const Extremum& b) { return key(a) < key(b); });
  // Two neighbours may lead to the same place.
  const auto same = [](const Extremum& a, const Extremum& b) { return key(a) == key(b); };
  found.erase(std::unique(found.begin(), found.end(), same), found.end());
  return found;
}

}  // namespace copytrace::match
