#if defined(__x86_64__)
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <vector>

#include "cover.hpp"
#include "rounded.hpp"
#include "shrinkers.hpp"

// Lanes are rows while sums are made along them, and columns afterwards: each sum is in the order of the definition.
namespace copytrace::pixels {
namespace {

constexpr std::size_t kChannels = 3, kRows = 16;

using Bytes = std::uint8_t __attribute__((vector_size(kRows)));
using Floats = float __attribute__((vector_size(4 * kRows)));

template <class Vector>
Vector lower(Vector a, Vector b);  // a0 b0 a1 b1 ... of the lower halves

template <class Vector>
Vector upper(Vector a, Vector b);

template <>
Bytes lower(Bytes a, Bytes b) {
  return reinterpret_cast<Bytes>(_mm_unpacklo_epi8(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}

template <>
Bytes upper(Bytes a, Bytes b) {
  return reinterpret_cast<Bytes>(_mm_unpackhi_epi8(reinterpret_cast<__m128i>(a), reinterpret_cast<__m128i>(b)));
}

template <>
Floats lower(Floats a, Floats b) {
  const __m512i order = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutex2var_ps(a, order, b);
}

template <>
Floats upper(Floats a, Floats b) {
  const __m512i order = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
  return _mm512_permutex2var_ps(a, order, b);
}

// 16 vectors of 16 values: rows become columns. Each turn moves one bit of a row's number into the column's.
template <class Vector>
void turn_over(Vector* rows) {
  for (std::size_t turn = 1; turn < kRows; turn *= 2) {
    Vector turned[kRows];
    for (std::size_t i = 0; i < kRows / 2; ++i) {
      turned[2 * i] = lower(rows[i], rows[i + kRows / 2]);
      turned[2 * i + 1] = upper(rows[i], rows[i + kRows / 2]);
    }
    std::copy(turned, turned + kRows, rows);
  }
}

// Masked, as GCC 12 warns of its own header otherwise; what it makes of __builtin_convertvector takes five times as
// long.
Floats floats(__m128i bytes) { return _mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepu8_epi32(0xffff, bytes)); }

// Sixteen rows of the old picture as columns of floats, brought up sixteen bytes at a time.
class Columns {
 public:
  explicit Columns(const std::uint8_t* const* rows) { std::copy(rows, rows + kRows, rows_); }

  // A pixel's first column, its others after it. Pixels are asked for in their order; the last one may be once more.
  const Floats* pixel(std::size_t index) {
    const std::size_t column = kChannels * index;
    while (column + kChannels > ready_) bring();
    return ring_ + column % kRing;
  }

 private:
  static constexpr std::size_t kRing = kChannels * kRows;  // whole pixels, and whole loads

  void bring() {
    Bytes pieces[kRows];
    for (std::size_t n = 0; n < kRows; ++n) std::memcpy(&pieces[n], rows_[n] + ready_, kRows);
    turn_over(pieces);
    Floats* to = ring_ + ready_ % kRing;
    for (const Bytes& piece : pieces) *to++ = floats(reinterpret_cast<__m128i>(piece));
    ready_ += kRows;
  }

  const std::uint8_t* rows_[kRows];
  std::size_t ready_ = 0;
  Floats ring_[kRing];
};

// The means along sixteen rows; those of each are `stride` floats after those of the one before.
void along(const std::uint8_t* const* rows, const Cover& across, float* means, std::size_t stride) {
  Columns columns(rows);
  Floats turned[kRows] = {};
  std::size_t filled = 0;
  const auto write = [&] {
    turn_over(turned);
    for (std::size_t n = 0; n < kRows; ++n) std::memcpy(means + n * stride, &turned[n], sizeof turned[n]);
    means += kRows;
    filled = 0;
  };
  for (std::size_t x = 0; x + 1 < across.start.size(); ++x) {
    const float* share = across.shares.data() + across.start[x];
    Floats sums[kChannels] = {};
    for (std::size_t k = 0; k < across.count(x); ++k) {
      const Floats* pixel = columns.pixel(across.first[x] + k);
      for (std::size_t c = 0; c < kChannels; ++c) sums[c] += pixel[c] * share[k];
    }
    for (const Floats& sum : sums) {
      turned[filled++] = sum;
      if (filled == kRows) write();
    }
  }
  if (filled) write();
}

}  // namespace

void shrink_avx512(const std::uint8_t* from, std::size_t height, std::size_t width, std::uint8_t* to,
                   std::size_t new_height, std::size_t new_width) {
  const Cover across(width, new_width), down(height, new_height);
  const std::size_t row_bytes = kChannels * width, values = kChannels * new_width;
  const std::size_t stride = (values + kRows - 1) / kRows * kRows;
  // The last row is read some bytes further than it goes, which beyond the picture are not ours to read.
  std::vector<std::uint8_t> bottom(row_bytes + kRows);
  std::copy_n(from + (height - 1) * row_bytes, row_bytes, bottom.data());
  std::vector<float> means(kRows * stride), sums(values);
  std::size_t y = 0;
  for (std::size_t top = 0; top < height; top += kRows) {
    const std::uint8_t* rows[kRows];
    for (std::size_t n = 0; n < kRows; ++n) {
      rows[n] = top + n + 1 < height ? from + (top + n) * row_bytes : bottom.data();
    }
    along(rows, across, means.data(), stride);
    for (std::size_t row = top; row < std::min(top + kRows, height); ++row) {
      const float* mean = means.data() + (row - top) * stride;
      while (y < new_height && down.first[y] <= row) {  // it may end one new row and begin the next
        const std::size_t k = row - down.first[y];
        const float share = down.shares[down.start[y] + k];
        for (std::size_t i = 0; i < values; ++i) sums[i] += mean[i] * share;
        if (k + 1 < down.count(y)) break;
        for (std::size_t i = 0; i < values; ++i) *to++ = rounded(sums[i]);
        std::fill(sums.begin(), sums.end(), 0.0f);
        ++y;
      }
    }
  }
}

}  // namespace copytrace::pixels
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
