// What the extraction of local features does to many numbers at once.
//
// One implementation per instruction set. Every number is computed by the same operations in the same order on all of
// them, none fused, so that all give the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

namespace copytrace::match {

inline constexpr std::size_t kStep = 16;        // floats; strides of pictures are multiples of it
inline constexpr std::size_t kMostRadius = 16;  // of a blur
inline constexpr std::size_t kGrid = 16;        // gradients down and across a patch
inline constexpr std::size_t kGradients = kGrid * kGrid;
inline constexpr std::size_t kSamples = 304;  // (kGrid + 1)^2 places of a patch, up to whole vectors
inline constexpr std::size_t kCells = 4, kDirections = 8;

// A picture of floats; numbers between width and stride mean nothing. `stride` more follow the last row.
struct Plane {
  float* data;
  std::size_t width, height, stride;

  float* row(std::size_t y) const { return data + y * stride; }
};

// Where the samples of a patch lie: the centre, and a step across the patch (a step down is that, turned by a quarter).
struct Patch {
  float x, y, across, down;
};

struct SiftKernel {
  // out = in blurred by the symmetric weights [radius + 1], mirrored at the borders; difference = out - in, if
  // wanted. radius: 4, 5, 6, 8 or 10. line: stride + 2 kMostRadius floats to work in.
  void (*blur)(const Plane& in, const Plane& out, float* difference, const float* weights, std::size_t radius,
               float* line);
  // Columns from `first` to `last` where the row `at` is beyond the threshold and no neighbour is further from 0.
  // Rows of three planes of one stride, the middle one of each given. Returns how many.
  std::size_t (*extrema)(const float* below, const float* at, const float* above, std::size_t stride, std::size_t first,
                         std::size_t last, float threshold, std::uint32_t* columns);
  // Gradients at kGrid x kGrid places of a patch: lengths times weights, and directions in turns, 0 to 1, from across
  // towards down.
  void (*gradients)(const Plane& plane, const Patch& patch, const float* weights, float* lengths, float* turns);
  // Gradients -> kCells x kCells x kDirections numbers, shared out linearly between neighbouring cells and directions.
  void (*pool)(const float* lengths, const float* turns, float* histogram);
};

const SiftKernel& sift_plain();
#if defined(__x86_64__)
const SiftKernel& sift_avx2();
const SiftKernel& sift_avx512();
#endif

}  // namespace copytrace::match
