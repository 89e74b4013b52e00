// Any processor: what the compiler's baseline gives, row by row.
#include "tile_impl.hpp"

namespace copytrace {

namespace {

std::uint32_t above(const float* products, const float* offsets, float threshold) {
  std::uint32_t mask = 0;
  for (std::size_t c = 0; c < kPanelRows; ++c) mask |= (products[c] - offsets[c] > threshold ? 1u : 0u) << c;
  return mask;
}

}  // namespace

const TileKernel& plain_kernel() {
  static constexpr TileKernel kernel = make_kernel<4, 1>("plain", &above);
  return kernel;
}

}  // namespace copytrace
