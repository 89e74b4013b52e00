#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,prefer-vector-width=512")
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's own intrinsics (its bug 105593)
#include <immintrin.h>
#endif

#include "../compiler.hpp"
#include "nearest.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kLanes = 16, kVectors = 2, kBlock = 12;
constexpr int kShift = 128;  // the right factor of the instruction is signed
typedef std::uint8_t Number;
typedef std::int32_t Vec __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Vec multiply_add(Vec sum, Vec a, Vec b) {
  return reinterpret_cast<Vec>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

// A bit for every lane that is at most `limit`.
inline std::uint32_t bits_up_to(Vec values, std::int32_t limit) {
  return _mm512_cmple_epi32_mask(reinterpret_cast<__m512i>(values), _mm512_set1_epi32(limit));
}

}  // namespace
}  // namespace copytrace::match

#include "nearest_impl.hpp"

namespace copytrace::match {

const NearestKernel& nearest_vnni() {
  static constexpr NearestKernel kernel = make_nearest("avx512vnni");
  return kernel;
}

}  // namespace copytrace::match
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
