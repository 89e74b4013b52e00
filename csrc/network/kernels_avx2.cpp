#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#endif

#include "kernels.hpp"

namespace copytrace::network {
namespace {

constexpr std::size_t kLanes = 8, kVectors = 2;
constexpr int kRows = 4;
typedef std::int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef float Floats __attribute__((vector_size(kLanes * 4)));

inline Ints load_bytes(const std::uint8_t* p) {
  return reinterpret_cast<Ints>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

inline void store_bytes(std::uint8_t* p, Ints v) {
  const __m256i bytes = _mm256_and_si256(reinterpret_cast<__m256i>(v), _mm256_set1_epi32(255));
  const __m256i halves = _mm256_packus_epi32(bytes, bytes);
  const __m256i packed = _mm256_packus_epi16(halves, halves);  // of each half's lanes
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p),
                   _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1)));
}

// Even and odd bytes apart, in 16 bits: products of bytes added in 16 bits, as one instruction would, may not fit.
inline Ints dot(Ints sum, Ints bytes, Ints weights) {
  const __m256i b = reinterpret_cast<__m256i>(bytes), w = reinterpret_cast<__m256i>(weights);
  const __m256i even =
      _mm256_madd_epi16(_mm256_and_si256(b, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
  const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(b, 8), _mm256_srai_epi16(w, 8));
  return reinterpret_cast<Ints>(_mm256_add_epi32(reinterpret_cast<__m256i>(sum), _mm256_add_epi32(even, odd)));
}

inline Floats clamped(Floats value, Floats low, Floats high) { return _mm256_min_ps(_mm256_max_ps(value, low), high); }

inline Floats fused(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

}  // namespace
}  // namespace copytrace::network

#include "kernels_impl.hpp"

namespace copytrace::network {

const Kernels& kernels_avx2() {
  static constexpr Kernels kernels = make_kernels("avx2");
  return kernels;
}

}  // namespace copytrace::network
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
