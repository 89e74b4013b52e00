// The bodies of all Kernels, written once with the compiler's vector types. Each kernels_*.cpp names its instruction
// set in a pragma, defines kLanes, kVectors, kRows, the types Ints and Floats, `load_bytes` and `store_bytes` (the low
// byte of every lane), `dot` (four products of a byte without and one with a sign added to each lane), `clamped` and
// `fused`, and includes this file last; no standard header with inline functions may come in here, or the linker could
// pick a copy compiled for the wrong processor.
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

inline void store_requantised(std::uint8_t* out, Ints sum, Floats scale, const Limits& limits) {
  store_bytes(out,
              rounded(clamped(__builtin_convertvector(sum, Floats) * scale, limits.low, limits.high)) + limits.zero);
}

}  // namespace
}  // namespace copytrace::network

#include "dense_impl.hpp"
#include "depthwise_impl.hpp"
#include "elementwise_impl.hpp"

namespace copytrace::network {
namespace {

constexpr Kernels make_kernels(const char* name) { return {name, kLanes, kVectors, &dense, &depthwise, &sum, &pool}; }

}  // namespace
}  // namespace copytrace::network
