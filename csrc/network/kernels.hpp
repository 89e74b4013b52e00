// The layers of a quantised network, for one picture at a time. One implementation per instruction set; all give the
// same numbers: sums of products are whole, modulo 2^32, and what is rounded is rounded in one order, nothing fused but
// where it says.
//
// A map is uint8 [height, width, stride], the first `channels` of each pixel's bytes being its values and the others of
// no meaning. A value q stands for scale * (q - zero). In all maps but the input the stride is a multiple of kBlock.
#pragma once
#include <cstddef>
#include <cstdint>

namespace copytrace::network {

inline constexpr std::size_t kBlock = 16;
inline std::size_t whole_blocks(std::size_t count) { return (count + kBlock - 1) / kBlock * kBlock; }

// The channels' order in a layer's constants, by places. Channels are taken four vectors at a time: lane l of vector v
// of such a group is its channel 16 (l / 4) + 4 v + l % 4, as bytes unpack into four vectors and pack from them. Those
// left are taken vector by vector, as they are.
inline constexpr std::size_t kGroup = 4;
inline std::size_t channel_at(std::size_t place, std::size_t lanes, std::size_t channels) {
  const std::size_t group = kGroup * lanes, first = place / group * group;
  if (first + group > channels) return place;
  const std::size_t vector = (place - first) / lanes, lane = place % lanes;
  return first + 16 * (lane / 4) + 4 * vector + lane % 4;
}

// From whole sums to bytes: round(sum * scale) + zero, halves to the even one, clamped to 0..255. Constants of each
// place; channels are whole blocks.
struct Requantise {
  const std::int32_t* bias;  // where a sum starts
  const float* scales;
  std::uint8_t zero;
};

// Places of a dense layer that are computed together: a group, or `vectors` of the vectors left.
struct Panel {
  std::size_t place, vectors;
  const std::int8_t* weights;  // [quads, vectors, lanes of a vector, 4]
};

// A convolution over all channels. Four neighbouring bytes are a quad; an output is the sum over `quads` of them, the
// k-th at offsets[k] from the output's place in the input.
struct Dense {
  std::size_t rows, columns;   // of the output
  std::size_t row_step, step;  // bytes of the input from an output to the one below, and to its right
  std::size_t out_stride;
  std::size_t quads;
  const std::int32_t* offsets;
  const Panel* panels;
  std::size_t panel_count;
  Requantise requantise;
};

// A convolution of every channel by itself. Two rows of outputs share what they see where they overlap.
constexpr std::size_t rows_together(std::size_t step) { return step == 1 ? 2 : 1; }
constexpr std::size_t column_quads(std::size_t kernel, std::size_t step) {
  return (kernel + rows_together(step) - 1 + 3) / 4;
}

struct Depthwise {
  std::size_t height, width, stride;  // of the input
  std::size_t out_height, out_width;
  std::size_t kernel, step;  // kernel 3 or 5, step 1 or 2
  std::size_t top, left;     // rows and columns of padding
  std::uint8_t zero;         // what padding holds
  // [stride / lanes, rows together, quads, kernel, lanes, 4], by places: quads of a column's taps, for each of the rows
  // of outputs that are computed together where that row sees the column.
  const std::int8_t* weights;
  Requantise requantise;
};

// Of two maps alike: byte a and byte b give round(fused(a, scale_a, fused(b, scale_b, offset))), clamped to 0..255.
struct Sum {
  std::size_t bytes;
  float scale_a, scale_b, offset;
};

// For every channel the root of the mean square over all cells of `cell` x `cell` pixels, of which the largest counts.
struct Pool {
  std::size_t height, width, stride, channels, cell;
  float scale, divisor;
  std::uint8_t zero;
};

struct Kernels {
  const char* name;
  std::size_t lanes;  // channels in a vector
  void (*dense)(const Dense&, const std::uint8_t* in, std::uint8_t* out);
  void (*depthwise)(const Depthwise&, const std::uint8_t* in, std::uint8_t* out);
  void (*sum)(const Sum&, const std::uint8_t* a, const std::uint8_t* b, std::uint8_t* out);
  void (*pool)(const Pool&, const std::uint8_t* in, float* out);
};

const Kernels& kernels_plain();
#if defined(__x86_64__)
const Kernels& kernels_avx2();
const Kernels& kernels_vnni();
#endif

}  // namespace copytrace::network
