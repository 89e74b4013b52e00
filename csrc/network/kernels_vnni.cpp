#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,prefer-vector-width=512")
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own intrinsics (its bug 105593)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#endif

#include "../compiler.hpp"
#include "kernels.hpp"

namespace copytrace::network {
namespace {

constexpr std::size_t kLanes = 16;
constexpr int kRows = 6;
typedef std::int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef float Floats __attribute__((vector_size(kLanes * 4)));

inline Ints load_bytes(const std::uint8_t* p) {
  return reinterpret_cast<Ints>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

inline void store_bytes(std::uint8_t* p, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
}

inline Ints dot(Ints sum, Ints bytes, Ints weights) {
  return reinterpret_cast<Ints>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(bytes),
                                                    reinterpret_cast<__m512i>(weights)));
}

template <int Rows>
inline void unpack_group(const std::uint8_t* const* rows, Ints* quads) {
  __m512i row[4];
  COPYTRACE_UNROLL(4)
  for (int r = 0; r < 4; ++r) row[r] = r < Rows ? _mm512_loadu_si512(rows[r]) : _mm512_setzero_si512();
  const __m512i low = _mm512_unpacklo_epi8(row[0], row[1]), high = _mm512_unpackhi_epi8(row[0], row[1]);
  const __m512i low_below = _mm512_unpacklo_epi8(row[2], row[3]), high_below = _mm512_unpackhi_epi8(row[2], row[3]);
  quads[0] = reinterpret_cast<Ints>(_mm512_unpacklo_epi16(low, low_below));
  quads[1] = reinterpret_cast<Ints>(_mm512_unpackhi_epi16(low, low_below));
  quads[2] = reinterpret_cast<Ints>(_mm512_unpacklo_epi16(high, high_below));
  quads[3] = reinterpret_cast<Ints>(_mm512_unpackhi_epi16(high, high_below));
}

// What is too small for 32 or 16 bits saturates, and what is too large is not there.
inline void pack_group(std::uint8_t* out, const Floats* values, Floats high, Ints zero) {
  __m512i whole[4];
  COPYTRACE_UNROLL(4)
  for (int v = 0; v < 4; ++v) whole[v] = _mm512_cvtps_epi32(_mm512_min_ps(values[v], high));
  const __m512i zeros = _mm512_packs_epi32(reinterpret_cast<__m512i>(zero), reinterpret_cast<__m512i>(zero));
  const __m512i first = _mm512_adds_epi16(_mm512_packs_epi32(whole[0], whole[1]), zeros);
  const __m512i second = _mm512_adds_epi16(_mm512_packs_epi32(whole[2], whole[3]), zeros);
  _mm512_storeu_si512(out, _mm512_packus_epi16(first, second));
}

inline Floats clamped(Floats value, Floats low, Floats high) { return _mm512_min_ps(_mm512_max_ps(value, low), high); }

inline Floats fused(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

}  // namespace
}  // namespace copytrace::network

#include "kernels_impl.hpp"

namespace copytrace::network {

const Kernels& kernels_vnni() {
  static constexpr Kernels kernels = make_kernels("avx512vnni");
  return kernels;
}

}  // namespace copytrace::network
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
