#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,prefer-vector-width=512")
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own intrinsics (its bug 105593)
#include <immintrin.h>
#endif

#include "../compiler.hpp"
#include "sift_kernel.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kLanes = 16;
typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::int32_t Whole __attribute__((vector_size(kLanes * 4)));

// One bit for each lane that is true.
inline unsigned lane_mask(Whole lanes) {
  return static_cast<unsigned>(_mm512_movepi32_mask(reinterpret_cast<__m512i>(lanes)));
}

// Numbers at these places, and those right after them.
inline void gather_pairs(const float* data, Whole places, Vec& at, Vec& after) {
  const __m512i all = reinterpret_cast<__m512i>(places);
  const __m512 low = _mm512_castpd_ps(_mm512_i32gather_pd(_mm512_castsi512_si256(all), data, 4));
  const __m512 high = _mm512_castpd_ps(_mm512_i32gather_pd(_mm512_extracti64x4_epi64(all, 1), data, 4));
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  at = reinterpret_cast<Vec>(_mm512_permutex2var_ps(low, even, high));
  after = reinterpret_cast<Vec>(_mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), high));
}

}  // namespace
}  // namespace copytrace::match

#include "sift_impl.hpp"

namespace copytrace::match {

const SiftKernel& sift_avx512() {
  static constexpr SiftKernel kernel = make_sift();
  return kernel;
}

}  // namespace copytrace::match
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
