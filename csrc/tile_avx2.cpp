#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#include <immintrin.h>

#include "tile_impl.hpp"

namespace copytrace {

namespace {

std::uint32_t above(const float* scores, float threshold) {
  const __m256 limit = _mm256_set1_ps(threshold);
  std::uint32_t mask = 0;
  for (unsigned c = 0; c < kPanelRows; c += 8) {
    const __m256 higher = _mm256_cmp_ps(_mm256_loadu_ps(scores + c), limit, _CMP_GT_OQ);
    mask |= static_cast<std::uint32_t>(_mm256_movemask_ps(higher)) << c;
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
#endif
