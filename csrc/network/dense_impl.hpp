// Part of kernels_impl.hpp: convolutions over all channels, as products of matrices.
namespace copytrace::network {
namespace {

// `Rows` neighbouring outputs of one panel of channels. Not inlined: the limits would take the sums' registers from
// them.
template <int Rows, int Vectors>
__attribute__((noinline)) void dense_tile(const Dense& d, const Panel& panel, const Limits& limits,
                                          const std::uint8_t* in, std::uint8_t* out) {
  const std::int8_t* weights = panel.weights;
  const std::int32_t* offsets = d.offsets;
  const std::size_t step = d.step;
  Ints sums[Rows][Vectors];
  COPYTRACE_UNROLL(4)
  for (int v = 0; v < Vectors; ++v) {
    const Ints bias = load_ints(d.requantise.bias + panel.place + v * kLanes);
    COPYTRACE_UNROLL(8)
    for (int r = 0; r < Rows; ++r) sums[r][v] = bias;
  }
  for (std::size_t k = 0; k < d.quads; ++k, weights += Vectors * kLanes * 4) {
    const std::uint8_t* from = in + offsets[k];
    Ints w[Vectors];
    COPYTRACE_UNROLL(4)
    for (int v = 0; v < Vectors; ++v) w[v] = load_ints(weights + v * kLanes * 4);
    COPYTRACE_UNROLL(8)
    for (int r = 0; r < Rows; ++r) {
      std::int32_t quad;
      __builtin_memcpy(&quad, from + r * step, 4);
      COPYTRACE_UNROLL(4)
      for (int v = 0; v < Vectors; ++v) sums[r][v] = dot(sums[r][v], Ints{} + quad, w[v]);
    }
  }
  Floats scales[Vectors];
  COPYTRACE_UNROLL(4)
  for (int v = 0; v < Vectors; ++v) scales[v] = load_floats(d.requantise.scales + panel.place + v * kLanes);
  COPYTRACE_UNROLL(8)
  for (int r = 0; r < Rows; ++r) {
    store_requantised<Vectors>(out + r * d.out_stride + panel.place, sums[r], scales, limits);
  }
}

template <int Rows>
void dense_panels(const Dense& d, const Limits& limits, const std::uint8_t* in, std::uint8_t* out) {
  for (const Panel* panel = d.panels; panel != d.panels + d.panel_count; ++panel) {
    if (panel->vectors == 1) {
      dense_tile<Rows, 1>(d, *panel, limits, in, out);
    } else if (panel->vectors == 2) {
      dense_tile<Rows, 2>(d, *panel, limits, in, out);
    } else if (panel->vectors == 3) {
      dense_tile<Rows, 3>(d, *panel, limits, in, out);
    } else {
      dense_tile<Rows, kGroup>(d, *panel, limits, in, out);
    }
  }
}

void dense(const Dense& d, const std::uint8_t* in, std::uint8_t* out) {
  const Limits limits(d.requantise.zero);
  for (std::size_t row = 0; row < d.rows; ++row) {
    const std::uint8_t* from = in + row * d.row_step;
    std::uint8_t* to = out + row * d.columns * d.out_stride;
    std::size_t i = 0;
    for (; i + kRows <= d.columns; i += kRows) {
      dense_panels<kRows>(d, limits, from + i * d.step, to + i * d.out_stride);
    }
    for (; kRows > 4 && i + 4 <= d.columns; i += 4) {
      dense_panels<4>(d, limits, from + i * d.step, to + i * d.out_stride);
    }
    for (; i < d.columns; ++i) dense_panels<1>(d, limits, from + i * d.step, to + i * d.out_stride);
  }
}

}  // namespace
}  // namespace copytrace::network
