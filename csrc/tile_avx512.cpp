#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#include <immintrin.h>
#endif

#include "tile_impl.hpp"

namespace copytrace {

namespace {

std::uint32_t above(const float* products, const float* offsets, float threshold) {
  const __m512 limit = _mm512_set1_ps(threshold);
  const __m512 first = _mm512_sub_ps(_mm512_loadu_ps(products), _mm512_loadu_ps(offsets));
  const __m512 second = _mm512_sub_ps(_mm512_loadu_ps(products + 16), _mm512_loadu_ps(offsets + 16));
  const std::uint32_t low = _mm512_cmp_ps_mask(first, limit, _CMP_GT_OQ);
  const std::uint32_t high = _mm512_cmp_ps_mask(second, limit, _CMP_GT_OQ);
  return low | high << 16;
}

}  // namespace

// 12 x 2 accumulators of 16 floats, 2 right vectors: 26 of 32 registers, enough to hide the latency of two FMA units.
const TileKernel& avx512_kernel() {
  static constexpr TileKernel kernel = make_kernel<16, 12>("avx512", &above);
  return kernel;
}

}  // namespace copytrace
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
