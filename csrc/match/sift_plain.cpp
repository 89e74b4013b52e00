#include "../compiler.hpp"
#include "sift_kernel.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kLanes = 4;
typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::int32_t Whole __attribute__((vector_size(kLanes * 4)));

// One bit for each lane that is true.
inline unsigned lane_mask(Whole lanes) {
  unsigned mask = 0;
  for (std::size_t i = 0; i < kLanes; ++i) mask |= (lanes[i] != 0 ? 1U : 0U) << i;
  return mask;
}

// Numbers at these places, and those right after them.
inline void gather_pairs(const float* data, Whole places, Vec& at, Vec& after) {
  for (std::size_t i = 0; i < kLanes; ++i) {
    at[i] = data[places[i]];
    after[i] = data[places[i] + 1];
  }
}

}  // namespace
}  // namespace copytrace::match

#include "sift_impl.hpp"

namespace copytrace::match {

const SiftKernel& sift_plain() {
  static constexpr SiftKernel kernel = make_sift();
  return kernel;
}

}  // namespace copytrace::match
