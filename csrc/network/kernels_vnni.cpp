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

#include "kernels.hpp"

namespace copytrace::network {
namespace {

constexpr std::size_t kLanes = 16, kVectors = 3;
constexpr int kRows = 8;
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
