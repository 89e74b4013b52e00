#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#endif

#include "tile_impl.hpp"

namespace copytrace {

namespace {

std::uint32_t above(const float* products, const float* offsets, float threshold) {
  const __m256 limit = _mm256_set1_ps(threshold);
  std::uint32_t mask = 0;
  for (unsigned c = 0; c < kPanelRows; c += 8) {
    const __m256 scores = _mm256_sub_ps(_mm256_loadu_ps(products + c), _mm256_loadu_ps(offsets + c));
    mask |= static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(scores, limit, _CMP_GT_OQ))) << c;
  }
  return mask;
}

}  // namespace

// 3 x 4 accumulators of 8 floats, 4 right vectors: all 16 registers.
const TileKernel& avx2_kernel() {
  static constexpr TileKernel kernel = make_kernel<8, 3>("avx2", &above);
  return kernel;
}

}  // namespace copytrace
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
