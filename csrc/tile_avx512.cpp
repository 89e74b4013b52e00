#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#include <immintrin.h>

#include "tile_impl.hpp"

namespace copytrace {

namespace {

std::uint32_t above(const float* scores, float threshold) {
  const __m512 limit = _mm512_set1_ps(threshold);
  const std::uint32_t low = _mm512_cmp_ps_mask(_mm512_loadu_ps(scores), limit, _CMP_GT_OQ);
  const std::uint32_t high = _mm512_cmp_ps_mask(_mm512_loadu_ps(scores + 16), limit, _CMP_GT_OQ);
  return low | high << 16;
}

}  // namespace

// 12 x 2 accumulators of 16 floats, 2 right vectors: 26 of 32 registers, enough to hide the latency of two FMA units.
const TileKernel& avx512_kernel() {
  static constexpr TileKernel kernel = make_kernel<16, 12>("avx512", &above);
  return kernel;
}

}  // namespace copytrace
#endif
