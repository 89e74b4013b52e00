#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#endif

#include "../compiler.hpp"
#include "kernels.hpp"

namespace copytrace::network {
namespace {

constexpr std::size_t kLanes = 8;
constexpr int kRows = 2;
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

template <int Rows>
inline void unpack_group(const std::uint8_t* const* rows, Ints* quads) {
  __m256i row[4];
  COPYTRACE_UNROLL(4)
  for (int r = 0; r < 4; ++r) {
    row[r] = r < Rows ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows[r])) : _mm256_setzero_si256();
  }
  const __m256i low = _mm256_unpacklo_epi8(row[0], row[1]), high = _mm256_unpackhi_epi8(row[0], row[1]);
  const __m256i low_below = _mm256_unpacklo_epi8(row[2], row[3]), high_below = _mm256_unpackhi_epi8(row[2], row[3]);
  quads[0] = reinterpret_cast<Ints>(_mm256_unpacklo_epi16(low, low_below));
  quads[1] = reinterpret_cast<Ints>(_mm256_unpackhi_epi16(low, low_below));
  quads[2] = reinterpret_cast<Ints>(_mm256_unpacklo_epi16(high, high_below));
  quads[3] = reinterpret_cast<Ints>(_mm256_unpackhi_epi16(high, high_below));
}

// What is too small for 32 or 16 bits saturates, and what is too large is not there.
inline void pack_group(std::uint8_t* out, const Floats* values, Floats high, Ints zero) {
  __m256i whole[4];
  COPYTRACE_UNROLL(4)
  for (int v = 0; v < 4; ++v) whole[v] = _mm256_cvtps_epi32(_mm256_min_ps(values[v], high));
  const __m256i zeros = _mm256_packs_epi32(reinterpret_cast<__m256i>(zero), reinterpret_cast<__m256i>(zero));
  const __m256i first = _mm256_adds_epi16(_mm256_packs_epi32(whole[0], whole[1]), zeros);
  const __m256i second = _mm256_adds_epi16(_mm256_packs_epi32(whole[2], whole[3]), zeros);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_packus_epi16(first, second));
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
