// Part of kernels_impl.hpp: convolutions of every channel by itself.
//
// One vector of channels of one row of outputs is worked on at a time. The rows that its windows see are first laid
// column by column: four rows' bytes of a channel are a quad, and the fifth row's another, so that one `dot` multiplies
// a whole column of the window.
namespace copytrace::network {
namespace {

struct Row {
  const std::uint8_t* bytes;
  std::size_t step;  // from pixel to pixel; 0 in a row of padding, where one pixel stands for all
};

// The quads of `count` columns.
template <int Rows>
inline void lay_columns(const Row* rows, std::size_t count, std::uint8_t* columns) {
  Row own[Rows];
  COPYTRACE_UNROLL(4)
  for (int r = 0; r < Rows; ++r) own[r] = rows[r];
  for (std::size_t x = 0; x < count; ++x) {
    Ints quad = load_bytes(own[0].bytes + x * own[0].step);
    COPYTRACE_UNROLL(4)
    for (int r = 1; r < Rows; ++r) quad |= load_bytes(own[r].bytes + x * own[r].step) << (8 * r);
    store_ints(columns + x * kLanes * 4, quad);
  }
}

// `Count` neighbouring outputs; columns: where the first one's window begins. Groups: quads of a column.
template <int Kernel, int Step, int Count>
inline void windows(const std::uint8_t* columns, std::size_t group_bytes, const Ints* weights, Ints* sums) {
  constexpr int kGroups = (Kernel + 3) / 4;
  COPYTRACE_UNROLL(2)
  for (int g = 0; g < kGroups; ++g) {
    COPYTRACE_UNROLL(5)
    for (int k = 0; k < Kernel; ++k) {
      COPYTRACE_UNROLL(4)
      for (int n = 0; n < Count; ++n) {
        const Ints column = load_ints(columns + g * group_bytes + (n * Step + k) * kLanes * 4);
        sums[n] = dot(sums[n], column, weights[g * Kernel + k]);
      }
    }
  }
}

template <int Kernel, int Step>
void depthwise_row(const Depthwise& d, const Row* rows, std::size_t channel, const Limits& limits, std::uint8_t* out,
                   std::uint8_t* scratch) {
  constexpr int kGroups = (Kernel + 3) / 4, kTogether = 4;
  const std::size_t columns = d.padded_width(), group_bytes = columns * kLanes * 4;
  const std::size_t used = d.width < columns - d.left ? d.width : columns - d.left;
  Ints weights[kGroups * Kernel];
  COPYTRACE_UNROLL(10)
  for (int i = 0; i < kGroups * Kernel; ++i) {
    weights[i] = load_ints(d.weights + (channel / kLanes * kGroups * Kernel + i) * kLanes * 4);
  }
  lay_columns<(Kernel < 4 ? Kernel : 4)>(rows, used, scratch + d.left * kLanes * 4);
  if constexpr (Kernel > 4) lay_columns<1>(rows + 4, used, scratch + group_bytes + d.left * kLanes * 4);
  const Ints padding = Ints{} + static_cast<std::int32_t>(d.zero * 0x01010101u);
  for (int g = 0; g < kGroups; ++g) {
    std::uint8_t* group = scratch + g * group_bytes;
    for (std::size_t i = 0; i < d.left; ++i) store_ints(group + i * kLanes * 4, padding);
    for (std::size_t i = d.left + used; i < columns; ++i) store_ints(group + i * kLanes * 4, padding);
  }
  const Ints bias = load_ints(d.requantise.bias + channel);
  const Floats scale = load_floats(d.requantise.scales + channel);
  std::size_t x = 0;
  for (; x + kTogether <= d.out_width; x += kTogether) {
    Ints sums[kTogether];
    COPYTRACE_UNROLL(4)
    for (int n = 0; n < kTogether; ++n) sums[n] = bias;
    windows<Kernel, Step, kTogether>(scratch + x * Step * kLanes * 4, group_bytes, weights, sums);
    COPYTRACE_UNROLL(4)
    for (int n = 0; n < kTogether; ++n) store_requantised(out + (x + n) * d.stride + channel, sums[n], scale, limits);
  }
  for (; x < d.out_width; ++x) {
    Ints sums[1] = {bias};
    windows<Kernel, Step, 1>(scratch + x * Step * kLanes * 4, group_bytes, weights, sums);
    store_requantised(out + x * d.stride + channel, sums[0], scale, limits);
  }
}

template <int Kernel, int Step>
void depthwise_map(const Depthwise& d, const std::uint8_t* in, std::uint8_t* out, std::uint8_t* scratch) {
  const Limits limits(d.requantise.zero);
  std::uint8_t padding[kLanes];
  for (std::size_t lane = 0; lane < kLanes; ++lane) padding[lane] = d.zero;
  for (std::size_t y = 0; y < d.out_height; ++y, out += d.out_width * d.stride) {
    for (std::size_t channel = 0; channel < d.stride; channel += kLanes) {
      Row rows[Kernel];
      for (std::size_t r = 0; r < Kernel; ++r) {
        const std::size_t row = y * Step + r - d.top;  // far too large above the map
        rows[r] = row < d.height ? Row{in + row * d.width * d.stride + channel, d.stride} : Row{padding, 0};
      }
      depthwise_row<Kernel, Step>(d, rows, channel, limits, out, scratch);
    }
  }
}

void depthwise(const Depthwise& d, const std::uint8_t* in, std::uint8_t* out, std::uint8_t* scratch) {
  if (d.kernel == 3) {
    d.step == 1 ? depthwise_map<3, 1>(d, in, out, scratch) : depthwise_map<3, 2>(d, in, out, scratch);
  } else {
    d.step == 1 ? depthwise_map<5, 1>(d, in, out, scratch) : depthwise_map<5, 2>(d, in, out, scratch);
  }
}

}  // namespace
}  // namespace copytrace::network
