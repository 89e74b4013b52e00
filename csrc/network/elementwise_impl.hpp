// Part of kernels_impl.hpp: sums of two maps, and what becomes of a map in the embedding.
namespace copytrace::network {
namespace {

void sum(const Sum& s, const std::uint8_t* a, const std::uint8_t* b, std::uint8_t* out) {
  const Floats scale_a = Floats{} + s.scale_a, scale_b = Floats{} + s.scale_b, offset = Floats{} + s.offset;
  const Floats low = {}, high = low + 255.0f;
  for (std::size_t i = 0; i < s.bytes; i += kLanes) {
    const Floats left = __builtin_convertvector(load_bytes(a + i), Floats);
    const Floats right = __builtin_convertvector(load_bytes(b + i), Floats);
    store_bytes(out + i, rounded(clamped(fused(left, scale_a, fused(right, scale_b, offset)), low, high)));
  }
}

// The largest bytes of a cell, of a vector of channels.
inline Ints largest(const Pool& p, const std::uint8_t* cell) {
  Ints most = {};
  for (std::size_t y = 0; y < p.cell; ++y, cell += p.width * p.stride) {
    for (std::size_t x = 0; x < p.cell; ++x) {
      const Ints bytes = load_bytes(cell + x * p.stride);
      most = most > bytes ? most : bytes;
    }
  }
  return most;
}

void pool(const Pool& p, const std::uint8_t* in, float* out) {
  const Floats scale = Floats{} + p.scale;
  for (std::size_t channel = 0; channel < p.channels; channel += kLanes) {
    Floats squares = {};  // added row by row, one after the other
    for (std::size_t y = 0; y + p.cell <= p.height; y += p.cell) {
      for (std::size_t x = 0; x + p.cell <= p.width; x += p.cell) {
        const Ints most = largest(p, in + (y * p.width + x) * p.stride + channel);
        const Floats value = __builtin_convertvector(most - p.zero, Floats) * scale;
        squares += value * value;
      }
    }
    for (std::size_t lane = 0; lane < kLanes && channel + lane < p.channels; ++lane) {
      out[channel + lane] = __builtin_sqrtf(squares[lane]) / p.divisor;
    }
  }
}

}  // namespace
}  // namespace copytrace::network
