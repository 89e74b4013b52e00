#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,prefer-vector-width=512")
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own intrinsics (its bug 105593)
#include <immintrin.h>
#endif

#include "compiler.hpp"
#include "tile.hpp"

namespace copytrace {

namespace {

constexpr int kRows = 12;

// What 16 columns, from `first` on, take off a score: their offsets, less what their bytes may have lost.
__m512 taken_off(const ByteTile& tile, std::size_t first) {
  return _mm512_fnmadd_ps(_mm512_loadu_ps(tile.right_errors + first), _mm512_set1_ps(tile.left_length),
                          _mm512_loadu_ps(tile.offsets + first));
}

// Which of those columns score above the limit.
std::uint32_t above(__m512i products, const ByteTile& tile, std::size_t first, __m512 off, float left_scale,
                    float limit) {
  const __m512i product = _mm512_sub_epi32(products, _mm512_loadu_si512(tile.corrections + first));
  const __m512 scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(product), _mm512_loadu_ps(tile.right_scales + first));
  const __m512 score = _mm512_fmsub_ps(scaled, _mm512_set1_ps(left_scale), off);
  return _mm512_cmp_ps_mask(score, _mm512_set1_ps(limit), _CMP_GT_OQ);
}

// 12 x 2 accumulators of 16 whole numbers; four products a lane and instruction, four times as many as in float32.
void filter(const ByteTile& tile, const float* limits, std::uint32_t* masks) {
  const std::uint8_t* left = tile.left;
  const std::int8_t* right = tile.right;
  __m512i sum[kRows][2];
  COPYTRACE_UNROLL(12)
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
  for (std::size_t k = 0; k < tile.quads; ++k, left += 4 * kRows, right += 4 * kPanelRows) {
    const __m512i low = _mm512_loadu_si512(right);
    const __m512i high = _mm512_loadu_si512(right + 64);
    COPYTRACE_UNROLL(12)
    for (int r = 0; r < kRows; ++r) {
      std::int32_t four;
      __builtin_memcpy(&four, left + 4 * r, sizeof four);
      const __m512i x = _mm512_set1_epi32(four);
      sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], x, low);
      sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], x, high);
    }
  }
  // Put down by a loop as simple as those above: one that did more would keep all sums in memory from the start.
  __m512i products[kRows][2];
  COPYTRACE_UNROLL(12)
  for (int r = 0; r < kRows; ++r) {
    _mm512_store_si512(&products[r][0], sum[r][0]);
    _mm512_store_si512(&products[r][1], sum[r][1]);
  }
  const __m512 low = taken_off(tile, 0), high = taken_off(tile, 16);
  for (int r = 0; r < kRows; ++r) {
    masks[r] = above(products[r][0], tile, 0, low, tile.left_scales[r], limits[r]) |
               above(products[r][1], tile, 16, high, tile.left_scales[r], limits[r]) << 16;
  }
}

// Four sums, so that they need not wait for each other.
float dot(const float* a, const float* b, std::size_t size) {
  __m512 sum[4];
  COPYTRACE_UNROLL(4)
  for (int v = 0; v < 4; ++v) sum[v] = _mm512_setzero_ps();
  std::size_t i = 0;
  for (; i + 64 <= size; i += 64) {
    COPYTRACE_UNROLL(4)
    for (int v = 0; v < 4; ++v) {
      sum[v] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16 * v), _mm512_loadu_ps(b + i + 16 * v), sum[v]);
    }
  }
  for (; i < size; i += 16) {
    const __mmask16 rest = static_cast<__mmask16>(size - i < 16 ? (1u << (size - i)) - 1u : ~0u);
    sum[0] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, a + i), _mm512_maskz_loadu_ps(rest, b + i), sum[0]);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3])));
}

}  // namespace

const TileKernel& vnni_kernel() {
  static const TileKernel kernel = [] {
    TileKernel same = avx512_kernel();
    same.name = "avx512vnni";
    same.filter = &filter;
    same.dot = &dot;
    return same;
  }();
  return kernel;
}

}  // namespace copytrace
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
