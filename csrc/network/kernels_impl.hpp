// The bodies of all Kernels, written once with the compiler's vector types. Each kernels_*.cpp names its instruction
// set in a pragma, defines what follows, and includes this file last; no standard header with inline functions may come
// in here, or the linker could pick a copy compiled for the wrong processor.
//
//   kLanes, kRows            channels in a vector; outputs of a dense layer that are computed together
//   Ints, Floats             vectors
//   dot(sum, bytes, weights) four products of a byte without and one with a sign, added to each lane
//   load_bytes, store_bytes  a byte for every lane, the low one
//   unpack_group<Rows>       up to four rows of a group's bytes to its four vectors of quads
//   pack_group               four vectors, already scaled and no greater than their limit, to a group's bytes
//   clamped, fused           min(max(value, low), high); a * b + c, rounded once
#include "../compiler.hpp"

namespace copytrace::network {
namespace {

typedef std::int32_t LooseInts __attribute__((vector_size(kLanes * 4), aligned(1), may_alias));
typedef float LooseFloats __attribute__((vector_size(kLanes * 4), aligned(1), may_alias));

inline Ints load_ints(const void* p) { return *static_cast<const LooseInts*>(p); }
inline Floats load_floats(const void* p) { return *static_cast<const LooseFloats*>(p); }
inline void store_ints(void* p, Ints v) { *static_cast<LooseInts*>(p) = v; }

// The nearest whole number in the low byte, halves to the even one: at 3 * 2^22 a float has no other bits.
inline Ints rounded(Floats value) { return reinterpret_cast<Ints>(value + 12582912.0f); }

// What turns sums into bytes, the same for all channels.
struct Limits {
  Floats low, high;
  Ints zero;
  explicit Limits(std::uint8_t at)
      : low(Floats{} - static_cast<float>(at)), high(Floats{} + static_cast<float>(255 - at)), zero(Ints{} + at) {}
};

// A pixel's sums of a group, or of one vector.
template <int Vectors>
inline void store_requantised(std::uint8_t* out, const Ints* sums, const Floats* scales, const Limits& limits) {
  if constexpr (Vectors == kGroup) {
    Floats values[kGroup];
    COPYTRACE_UNROLL(4)
    for (std::size_t v = 0; v < kGroup; ++v) values[v] = __builtin_convertvector(sums[v], Floats) * scales[v];
    pack_group(out, values, limits.high, limits.zero);
  } else {
    COPYTRACE_UNROLL(4)
    for (std::size_t v = 0; v < Vectors; ++v) {
      const Floats value = __builtin_convertvector(sums[v], Floats) * scales[v];
      store_bytes(out + v * kLanes, rounded(clamped(value, limits.low, limits.high)) + limits.zero);
    }
  }
}

}  // namespace
}  // namespace copytrace::network

#include "dense_impl.hpp"
#include "depthwise_impl.hpp"
#include "elementwise_impl.hpp"

namespace copytrace::network {
namespace {

constexpr Kernels make_kernels(const char* name) { return {name, kLanes, &dense, &depthwise, &sum, &pool}; }

}  // namespace
}  // namespace copytrace::network
