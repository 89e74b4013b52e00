#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own intrinsics (its bug 105593)
#include <immintrin.h>
#endif

#include "../compiler.hpp"
#include "sift_kernel.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kLanes = 8;
typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef float LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef std::int32_t Whole __attribute__((vector_size(kLanes * 4)));

// One bit for each lane that is true.
inline unsigned lane_mask(Whole lanes) {
  return static_cast<unsigned>(_mm256_movemask_ps(reinterpret_cast<__m256>(lanes)));
}

// Numbers at these places, and those right after them.
inline void gather_pairs(const float* data, Whole places, Vec& at, Vec& after) {
  const auto* pairs = reinterpret_cast<const double*>(data);  // of four bytes' alignment: the instruction takes any
  const __m256i all = reinterpret_cast<__m256i>(places);
  const __m256 low = _mm256_castpd_ps(_mm256_i32gather_pd(pairs, _mm256_castsi256_si128(all), 4));
  const __m256 high = _mm256_castpd_ps(_mm256_i32gather_pd(pairs, _mm256_extracti128_si256(all, 1), 4));
  const __m256d even = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0b10001000));
  const __m256d odd = _mm256_castps_pd(_mm256_shuffle_ps(low, high, 0b11011101));
  at = reinterpret_cast<Vec>(_mm256_permute4x64_pd(even, 0b11011000));
  after = reinterpret_cast<Vec>(_mm256_permute4x64_pd(odd, 0b11011000));
}

}  // namespace
}  // namespace copytrace::match

#include "sift_impl.hpp"

namespace copytrace::match {

const SiftKernel& sift_avx2() {
  static constexpr SiftKernel kernel = make_sift();
  return kernel;
}

}  // namespace copytrace::match
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
