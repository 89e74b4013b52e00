// Matches that agree on one affine map: every match proposes a similarity, the best proposal is fitted twice.
//
// engine/match/reference.py defines it, operation by operation; compiled without fused multiply-adds, both give the
// same bits.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace copytrace::match {

// verification.py says what they mean.
struct Rules {
  double ratio, place, octaves, turns, stretch, cell;
};

// A match: places in 1/64 pixel (the query's in its variant's frame), and what leads from the query's keypoint to the
// reference's, in 1/2048 octave and 1/65536 turn.
struct Match {
  std::int64_t x, y, u, v;
  std::int32_t octaves, turns;
};

// x' = a x + b y + c, y' = d x + e y + f, in 1/64 pixel.
struct Affine {
  double a, b, c, d, e, f;
};

struct Agreement {
  std::size_t count = 0;            // at different places; 0 where fewer than three agree
  std::vector<std::size_t> inside;  // which matches agree
  Affine map{};                     // query's frame -> reference
  double spread = 0.0;
};

Agreement agreeing(const std::vector<Match>& matches, const Rules& rules);

// Reference -> query as it is, in pixels, row by row.
std::array<double, 6> inverse(const Affine& map, bool mirrored);

}  // namespace copytrace::match
