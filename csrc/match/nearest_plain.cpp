#include "../compiler.hpp"
#include "nearest.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kLanes = 4, kVectors = 2, kBlock = 4;
constexpr int kShift = 0;
typedef std::int16_t Number;
typedef std::int32_t Vec __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

// Two numbers of 16 bits in each lane.
inline Vec multiply_add(Vec sum, Vec a, Vec b) {
  return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}

// A bit for every lane that is at most `limit`.
inline std::uint32_t bits_up_to(Vec values, std::int32_t limit) {
  std::uint32_t bits = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) bits |= static_cast<std::uint32_t>(values[lane] <= limit) << lane;
  return bits;
}

}  // namespace
}  // namespace copytrace::match

#include "nearest_impl.hpp"

namespace copytrace::match {

const NearestKernel& nearest_plain() {
  static constexpr NearestKernel kernel = make_nearest("plain");
  return kernel;
}

}  // namespace copytrace::match
