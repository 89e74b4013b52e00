#include "kernels.hpp"

namespace copytrace::network {
namespace {

constexpr std::size_t kLanes = 4, kVectors = 2;
constexpr int kRows = 2;
typedef std::int32_t Ints __attribute__((vector_size(kLanes * 4)));
typedef float Floats __attribute__((vector_size(kLanes * 4)));

inline Ints load_bytes(const std::uint8_t* p) {
  Ints v;
  for (std::size_t lane = 0; lane < kLanes; ++lane) v[lane] = p[lane];
  return v;
}

inline void store_bytes(std::uint8_t* p, Ints v) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) p[lane] = static_cast<std::uint8_t>(v[lane]);
}

typedef std::uint32_t Whole __attribute__((vector_size(kLanes * 4)));  // which may go round

inline Ints dot(Ints sum, Ints bytes, Ints weights) {
  Whole total = reinterpret_cast<Whole>(sum);
  for (int shift = 0; shift < 32; shift += 8) {
    const Ints weight = reinterpret_cast<Ints>(reinterpret_cast<Whole>(weights) << (24 - shift)) >> 24;
    total += reinterpret_cast<Whole>((bytes >> shift & 255) * weight);
  }
  return reinterpret_cast<Ints>(total);
}

inline Floats clamped(Floats value, Floats low, Floats high) {
  value = value > low ? value : low;
  return value < high ? value : high;
}

inline Floats fused(Floats a, Floats b, Floats c) {
  for (std::size_t lane = 0; lane < kLanes; ++lane) c[lane] = __builtin_fmaf(a[lane], b[lane], c[lane]);
  return c;
}

}  // namespace
}  // namespace copytrace::network

#include "kernels_impl.hpp"

namespace copytrace::network {

const Kernels& kernels_plain() {
  static constexpr Kernels kernels = make_kernels("plain");
  return kernels;
}

}  // namespace copytrace::network
