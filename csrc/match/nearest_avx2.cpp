#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#include <immintrin.h>
#endif

#include "../compiler.hpp"
#include "nearest.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kLanes = 8, kVectors = 2, kBlock = 6;
constexpr int kShift = 0;
typedef std::int16_t Number;
typedef std::int32_t Vec __attribute__((vector_size(kLanes * 4)));
typedef std::int32_t LooseVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Vec multiply_add(Vec sum, Vec a, Vec b) {
  return sum + reinterpret_cast<Vec>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

// A bit for every lane that is at most `limit`.
inline std::uint32_t bits_up_to(Vec values, std::int32_t limit) {
  const Vec above = values > limit;
  return ~static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(above))) & 0xffU;
}

}  // namespace
}  // namespace copytrace::match

#include "nearest_impl.hpp"

namespace copytrace::match {

const NearestKernel& nearest_avx2() {
  static constexpr NearestKernel kernel = make_nearest("avx2");
  return kernel;
}

}  // namespace copytrace::match
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
