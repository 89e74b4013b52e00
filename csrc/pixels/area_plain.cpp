#include <algorithm>
#include <cstring>
#include <vector>

#include "shrinkers.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "../compiler.hpp"
#include "cover.hpp"
#include "rounded.hpp"

namespace copytrace::pixels {
namespace {

using Bytes = std::uint8_t __attribute__((vector_size(4)));
using Floats = float __attribute__((vector_size(16)));  // red, green, blue, and the next pixel's red, of no use

constexpr std::size_t kChannels = 3, kLanes = 4, kMostRows = 6;

Floats load(const std::uint8_t* pixel) {
#if defined(__SSE2__)  // what GCC makes of the conversion below is five times as long
  std::int32_t bytes;
  std::memcpy(&bytes, pixel, sizeof bytes);
  const __m128i zero = _mm_setzero_si128();
  return reinterpret_cast<Floats>(
      _mm_cvtepi32_ps(_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(bytes), zero), zero)));
#else
  Bytes bytes;
  std::memcpy(&bytes, pixel, sizeof bytes);
  return __builtin_convertvector(bytes, Floats);
#endif
}

// Adds N old rows, one after the other, each times its share, to a new one: their sums along the row stay in registers.
template <std::size_t N>
void add_rows(const std::uint8_t* const* rows, const float* shares, const Cover& across, float* sums, bool fresh) {
  const std::uint8_t* own[N];
  std::copy(rows, rows + N, own);
  for (std::size_t x = 0; x + 1 < across.start.size(); ++x) {
    Floats means[N] = {};
    const float* share = across.shares.data() + across.start[x];
    const std::size_t offset = kChannels * across.first[x], count = across.count(x);
    for (std::size_t k = 0; k < count; ++k) {
      COPYTRACE_UNROLL(8)
      for (std::size_t n = 0; n < N; ++n) means[n] += load(own[n] + offset + kChannels * k) * share[k];
    }
    Floats sum = {};
    if (!fresh) std::memcpy(&sum, sums + kLanes * x, sizeof sum);
    COPYTRACE_UNROLL(8)
    for (std::size_t n = 0; n < N; ++n) sum += shares[n] * means[n];
    std::memcpy(sums + kLanes * x, &sum, sizeof sum);
  }
}

using AddRows = void (*)(const std::uint8_t* const*, const float*, const Cover&, float*, bool);
constexpr AddRows kAddRows[kMostRows] = {add_rows<1>, add_rows<2>, add_rows<3>, add_rows<4>, add_rows<5>, add_rows<6>};

}  // namespace

void shrink_plain(const std::uint8_t* from, std::size_t height, std::size_t width, std::uint8_t* to,
                  std::size_t new_height, std::size_t new_width) {
  const Cover across(width, new_width), down(height, new_height);
  const std::size_t stride = kChannels * width;
  std::vector<std::uint8_t> bottom(from + (height - 1) * stride, from + height * stride);
  bottom.push_back(0);  // its last pixel is read with one byte more, which beyond the picture is not ours to read
  std::vector<float> sums(kLanes * new_width);
  for (std::size_t y = 0; y < new_height; ++y) {
    const std::size_t count = down.count(y), groups = (count + kMostRows - 1) / kMostRows;
    for (std::size_t group = 0; group < groups; ++group) {
      const std::size_t begin = count * group / groups, end = count * (group + 1) / groups;
      const std::uint8_t* rows[kMostRows];
      for (std::size_t k = begin; k < end; ++k) {
        const std::size_t row = down.first[y] + k;
        rows[k - begin] = row + 1 == height ? bottom.data() : from + row * stride;
      }
      kAddRows[end - begin - 1](rows, down.shares.data() + down.start[y] + begin, across, sums.data(), group == 0);
    }
    for (std::size_t x = 0; x < new_width; ++x) {
      for (std::size_t c = 0; c < kChannels; ++c) *to++ = rounded(sums[kLanes * x + c]);
    }
  }
}

}  // namespace copytrace::pixels
