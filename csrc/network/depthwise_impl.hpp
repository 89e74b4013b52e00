// Part of kernels_impl.hpp: convolutions of every channel by itself.
//
// A group of channels, or one vector of those left, of some neighbouring outputs is worked on at a time, in two rows
// where the step is 1. The rows that their windows see are first laid column by column: four rows' bytes of a channel
// are a quad, and the fifth and sixth row's another, so that one or two `dot` multiply a whole column of a window.
namespace copytrace::network {
namespace {

constexpr std::size_t kColumns = 36, kOutputs = 32;  // most columns laid, for so many outputs of step 1

struct Row {
  const std::uint8_t* bytes;
  std::size_t step;  // from pixel to pixel; 0 in a row of padding, where one pixel stands for all
};

template <int Vectors, int Quads>
struct Columns {
  Ints quads[Quads][Vectors][kColumns];
};

// Columns from `to` on of `Rows` rows, of which the first pixel is `from`.
template <int Rows, int Vectors>
inline void lay_columns(const Row* rows, std::size_t from, std::size_t count, std::size_t to,
                        Ints (*columns)[kColumns]) {
  Row own[Rows];
  COPYTRACE_UNROLL(4)
  for (int r = 0; r < Rows; ++r) own[r] = {rows[r].bytes + from * rows[r].step, rows[r].step};
  for (std::size_t x = 0; x < count; ++x) {
    if constexpr (Vectors == kGroup) {
      const std::uint8_t* pixels[Rows];
      COPYTRACE_UNROLL(4)
      for (int r = 0; r < Rows; ++r) pixels[r] = own[r].bytes + x * own[r].step;
      Ints quads[kGroup];
      unpack_group<Rows>(pixels, quads);
      COPYTRACE_UNROLL(4)
      for (std::size_t v = 0; v < kGroup; ++v) columns[v][to + x] = quads[v];
    } else {
      Ints quad = load_bytes(own[0].bytes + x * own[0].step);
      COPYTRACE_UNROLL(4)
      for (int r = 1; r < Rows; ++r) quad |= load_bytes(own[r].bytes + x * own[r].step) << (8 * r);
      columns[0][to + x] = quad;
    }
  }
}

// `Count` neighbouring outputs of a row, the first one's window beginning with the columns' `first`.
template <int Kernel, int Step, int Vectors, int Count>
inline void windows(const Depthwise& d, const Columns<Vectors, column_quads(Kernel, Step)>& columns, std::size_t first,
                    std::size_t row, std::size_t place, const Limits& limits, std::uint8_t* out) {
  constexpr std::size_t kQuads = column_quads(Kernel, Step), kTogether = rows_together(Step);
  Ints sums[Count][Vectors];
  Floats scales[Vectors];
  COPYTRACE_UNROLL(4)
  for (int v = 0; v < Vectors; ++v) {
    const std::size_t set = (place / kLanes + v) * kTogether + row;
    const std::int8_t* weights = d.weights + set * kQuads * Kernel * kLanes * 4;
    const Ints bias = load_ints(d.requantise.bias + place + v * kLanes);
    scales[v] = load_floats(d.requantise.scales + place + v * kLanes);
    COPYTRACE_UNROLL(4)
    for (int n = 0; n < Count; ++n) sums[n][v] = bias;
    COPYTRACE_UNROLL(2)
    for (std::size_t q = 0; q < kQuads; ++q) {
      COPYTRACE_UNROLL(5)
      for (int k = 0; k < Kernel; ++k) {
        const Ints weight = load_ints(weights + (q * Kernel + k) * kLanes * 4);
        COPYTRACE_UNROLL(4)
        for (int n = 0; n < Count; ++n) {
          sums[n][v] = dot(sums[n][v], columns.quads[q][v][first + n * Step + k], weight);
        }
      }
    }
  }
  COPYTRACE_UNROLL(4)
  for (int n = 0; n < Count; ++n) {
    store_requantised<Vectors>(out + n * d.stride + place, sums[n], scales, limits);
  }
}

template <int Kernel, int Step, int Vectors>
void row_of_windows(const Depthwise& d, const Columns<Vectors, column_quads(Kernel, Step)>& columns, std::size_t count,
                    std::size_t row, std::size_t place, const Limits& limits, std::uint8_t* out) {
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    windows<Kernel, Step, Vectors, 4>(d, columns, i * Step, row, place, limits, out + i * d.stride);
  }
  for (; i + 2 <= count; i += 2) {
    windows<Kernel, Step, Vectors, 2>(d, columns, i * Step, row, place, limits, out + i * d.stride);
  }
  if (i < count) windows<Kernel, Step, Vectors, 1>(d, columns, i * Step, row, place, limits, out + i * d.stride);
}

// Outputs `begin` to `end` of `count` rows.
template <int Kernel, int Step, int Vectors>
void some_outputs(const Depthwise& d, const Row* rows, std::size_t begin, std::size_t end, std::size_t count,
                  std::size_t place, const Limits& limits, std::uint8_t* out) {
  constexpr int kQuads = column_quads(Kernel, Step), kSeen = Kernel + rows_together(Step) - 1;
  Columns<Vectors, kQuads> columns;
  const std::size_t width = (end - begin - 1) * Step + Kernel;
  const std::size_t skipped = begin * Step < d.left ? d.left - begin * Step : 0;  // columns of padding on the left
  const std::size_t from = begin * Step + skipped - d.left;
  const std::size_t used = from >= d.width ? 0 : d.width - from < width - skipped ? d.width - from : width - skipped;
  lay_columns<(kSeen < 4 ? kSeen : 4), Vectors>(rows, from, used, skipped, columns.quads[0]);
  if constexpr (kSeen > 4) lay_columns<kSeen - 4, Vectors>(rows + 4, from, used, skipped, columns.quads[1]);
  const Ints padding = Ints{} + static_cast<std::int32_t>(d.zero * 0x01010101u);
  for (int q = 0; q < kQuads; ++q) {
    for (int v = 0; v < Vectors; ++v) {
      for (std::size_t x = 0; x < skipped; ++x) columns.quads[q][v][x] = padding;
      for (std::size_t x = skipped + used; x < width; ++x) columns.quads[q][v][x] = padding;
    }
  }
  for (std::size_t row = 0; row < count; ++row) {
    std::uint8_t* to = out + (row * d.out_width + begin) * d.stride;
    row_of_windows<Kernel, Step, Vectors>(d, columns, end - begin, row, place, limits, to);
  }
}

template <int Kernel, int Step>
void depthwise_map(const Depthwise& d, const std::uint8_t* in, std::uint8_t* out) {
  constexpr std::size_t kTogether = rows_together(Step), kSeen = Kernel + kTogether - 1, kAcross = kOutputs / Step;
  const Limits limits(d.requantise.zero);
  std::uint8_t padding[kGroup * kLanes];
  for (std::uint8_t& byte : padding) byte = d.zero;
  for (std::size_t y = 0; y < d.out_height; y += kTogether, out += kTogether * d.out_width * d.stride) {
    const std::size_t count = d.out_height - y < kTogether ? d.out_height - y : kTogether;
    for (std::size_t place = 0; place < d.stride;) {
      Row rows[kSeen];
      for (std::size_t r = 0; r < kSeen; ++r) {
        const std::size_t row = y * Step + r - d.top;  // far too large above the map
        rows[r] = row < d.height ? Row{in + row * d.width * d.stride + place, d.stride} : Row{padding, 0};
      }
      const bool group = place + kGroup * kLanes <= d.stride;
      for (std::size_t begin = 0; begin < d.out_width; begin += kAcross) {
        const std::size_t end = begin + kAcross < d.out_width ? begin + kAcross : d.out_width;
        group ? some_outputs<Kernel, Step, kGroup>(d, rows, begin, end, count, place, limits, out)
              : some_outputs<Kernel, Step, 1>(d, rows, begin, end, count, place, limits, out);
      }
      place += group ? kGroup * kLanes : kLanes;
    }
  }
}

void depthwise(const Depthwise& d, const std::uint8_t* in, std::uint8_t* out) {
  if (d.kernel == 3) {
    d.step == 1 ? depthwise_map<3, 1>(d, in, out) : depthwise_map<3, 2>(d, in, out);
  } else {
    d.step == 1 ? depthwise_map<5, 1>(d, in, out) : depthwise_map<5, 2>(d, in, out);
  }
}

}  // namespace
}  // namespace copytrace::network
