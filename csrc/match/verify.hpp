// Verification of a pair: nearest descriptors and ratio test under four variants of the query, then geometry.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "geometry.hpp"
#include "nearest.hpp"

namespace copytrace::match {

inline constexpr std::size_t kVariants = 4;  // bit 0: mirrored, bit 1: grey levels inverted
inline constexpr std::size_t kMostFeatures = 4096;

// Descriptors uint8 [count, 128] and keypoints uint16 [count, 4] (x, y, size, angle); not owned.
struct Features {
  const std::uint8_t* descriptors;
  const std::uint16_t* keypoints;
  std::size_t count;
};

struct Verified {
  std::size_t inliers = 0, variant = 0, matches = 0;
  std::vector<std::pair<std::int32_t, std::int32_t>> rows;  // query, reference
  std::array<double, 6> affine{};
  double spread = 0.0;
};

// A query made ready for any number of references: its descriptors packed once for every variant.
class Query {
 public:
  // bins: [4, 128], the order of a variant's descriptor columns.
  Query(const Features& features, const std::uint8_t* bins, const NearestKernel& kernel);
  std::size_t count() const { return count_; }
  // others: [4, count] squared distances to other pictures, or null.
  Verified verify(const Features& reference, const std::int32_t* others, const Rules& rules) const;

 private:
  using Rows = std::vector<std::pair<std::int32_t, std::int32_t>>;
  struct Scratch;
  Rows nearest_pairs(std::size_t variant, const std::int32_t* others, double ratio, Scratch& scratch) const;
  Match match(std::size_t variant, std::int32_t row, const std::uint16_t* target) const;

  const NearestKernel& kernel_;
  std::size_t count_, padded_;
  std::vector<std::uint16_t> keypoints_;
  std::array<std::vector<std::uint8_t>, kVariants> packed_;
  std::vector<std::int32_t> lengths_;
};

}  // namespace copytrace::match
