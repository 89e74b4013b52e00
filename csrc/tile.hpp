// The inner loops of the core: a few rows times a packed panel of 32 rows, the comparison that follows, and sums over
// rows. One implementation per instruction set; all of them add the products of one pair in the same order, so a result
// never depends on where in a batch its row stood.
#pragma once
#include <cstddef>
#include <cstdint>

namespace copytrace {

inline constexpr std::size_t kPanelRows = 32;
inline constexpr std::size_t kMaxTileRows = 12;

// Bits of the panel's columns that stand for one of the `left` remaining rows.
inline std::uint32_t panel_mask(std::size_t left) { return left >= kPanelRows ? ~0u : (1u << left) - 1u; }

// One group of left rows beside one panel of right rows, in bytes; see quantised.hpp for the two layouts.
struct ByteTile {
  const std::uint8_t* left;
  const float* left_scales;  // [rows]
  const std::int8_t* right;
  const std::int32_t* corrections;  // [32], what the left side's zero point adds
  const float* right_scales;        // [32]
  const float* right_errors;        // [32], lengths of what the bytes leave out
  const float* offsets;             // [32]
  float left_length;                // of the bytes of any left row, at most
  std::size_t quads;
};

struct TileKernel {
  const char* name;
  std::size_t rows;  // left rows that one call of `multiply` takes
  // out[r * 32 + c] = sum over k of left[r * row_step + k * depth_step] * panel[k * 32 + c].
  void (*multiply)(const float* left, std::size_t row_step, std::size_t depth_step, const float* panel,
                   std::size_t depth, float* out);
  // Bit c is set where products[c] - offsets[c] > threshold, c < 32.
  std::uint32_t (*above)(const float* products, const float* offsets, float threshold);
  double (*squared_length)(const float* row, std::size_t size);
  // Sum of (a[i] - b[i])^2 in float64. Never fused: every instruction set gets the same bits.
  double (*squared_distance)(const float* a, const float* b, std::size_t size);
  // sum += (a - b) / ||a - b||; nothing where a equals b, since no direction leads from one to the other.
  void (*add_unit_difference)(const float* a, const float* b, std::size_t size, double* sum);
  // Only where the processor multiplies bytes fast, null elsewhere. Bit c of masks[r] is set where
  // (sum over k of left[r, k] * right[c, k] - corrections[c]) * right_scales[c] * left_scales[r] - offsets[c] +
  // left_length * right_errors[c] > limits[r].
  void (*filter)(const ByteTile& tile, const float* limits, std::uint32_t* masks);
  float (*dot)(const float* a, const float* b, std::size_t size);
};

const TileKernel& plain_kernel();
#if defined(__x86_64__)
const TileKernel& avx2_kernel();
const TileKernel& avx512_kernel();
const TileKernel& vnni_kernel();  // the same, and the byte filter
#elif defined(__aarch64__)
const TileKernel& neon_kernel();
#endif

}  // namespace copytrace
