#include "kernels.hpp"

namespace copytrace::network {
namespace {

constexpr std::size_t kLanes = 4;
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

template <int Rows>
inline void unpack_group(const std::uint8_t* const* rows, Ints* quads) {
  for (std::size_t v = 0; v < 4; ++v) {
    quads[v] = Ints{};
    for (int r = 0; r < Rows; ++r) quads[v] |= load_bytes(rows[r] + v * kLanes) << (8 * r);
  }
}

inline void pack_group(std::uint8_t* out, const Floats* values, Floats high, Ints zero) {
  const Floats low = __builtin_convertvector(-zero, Floats);
  for (std::size_t v = 0; v < 4; ++v) {
    const Floats shifted = clamped(values[v], low, high) + 12582912.0f;  // whole, halves to the even one
    store_bytes(out + v * kLanes, reinterpret_cast<Ints>(shifted) + zero);
  }
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
