// Local features of a small grey picture: SIFT (D. Lowe, 2004), its descriptors as RootSIFT in bytes.
//
// engine/match/sift_reference.py and sift_extrema_reference.py define it, operation by operation.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sift_kernel.hpp"

namespace copytrace::match {

inline constexpr std::size_t kLayers = 3;  // scales an octave where keypoints may lie
inline constexpr std::size_t kBorder = 5;  // pixels of an octave without keypoints
inline constexpr std::size_t kBlurs = kLayers + 3, kDifferences = kLayers + 2;

// The same picture blurred more and more, and the differences of neighbours.
struct Octave {
  std::array<Plane, kBlurs> blurred;
  std::array<Plane, kDifferences> differences;
};

// Where a difference is extreme: place in pixels and scale in layers of its octave.
struct Extremum {
  std::size_t octave, layer;
  double x, y, scale;
  double response;
};

struct SiftFeatures {
  std::vector<std::array<double, 4>> keypoints;  // x, y, size (a diameter), angle (degrees), in pixels of the picture
  std::vector<std::uint8_t> descriptors;         // 128 each
};

// Picture of twice the size and each octave half the one before; the planes live in `memory`.
std::vector<Octave> scale_space(const std::uint8_t* grey, std::size_t width, std::size_t height,
                                const SiftKernel& kernel, std::vector<float>& memory);

// The strongest first, none twice.
std::vector<Extremum> find_extrema(const std::vector<Octave>& octaves, const SiftKernel& kernel);

// The directions of an extremum in turns, ascending.
std::vector<double> directions(const Octave& octave, const Extremum& place, const SiftKernel& kernel);

void describe(const Octave& octave, const Extremum& place, double direction, const SiftKernel& kernel,
              std::uint8_t* descriptor);

// The `most` strongest features of uint8 [height, width], at least 12 pixels either way.
SiftFeatures extract_sift(const std::uint8_t* grey, std::size_t width, std::size_t height, std::size_t most,
                          const SiftKernel& kernel);

}  // namespace copytrace::match
