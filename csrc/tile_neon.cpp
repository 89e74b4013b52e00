// ARM64, where NEON is part of every processor.
#if defined(__aarch64__)
#include <arm_neon.h>

#include "tile_impl.hpp"

namespace copytrace {

namespace {

std::uint32_t above(const float* products, const float* offsets, float threshold) {
  constexpr std::uint32_t kBits[4] = {1, 2, 4, 8};
  const uint32x4_t bits = vld1q_u32(kBits);
  const float32x4_t limit = vdupq_n_f32(threshold);
  std::uint32_t mask = 0;
  for (unsigned c = 0; c < kPanelRows; c += 4) {
    const float32x4_t scores = vsubq_f32(vld1q_f32(products + c), vld1q_f32(offsets + c));
    mask |= vaddvq_u32(vandq_u32(vcgtq_f32(scores, limit), bits)) << c;
  }
  return mask;
}

}  // namespace

// 2 x 8 accumulators of 4 floats, 8 right vectors: 24 of 32 registers.
const TileKernel& neon_kernel() {
  static constexpr TileKernel kernel = make_kernel<4, 2>("neon", &above);
  return kernel;
}

}  // namespace copytrace
#endif
