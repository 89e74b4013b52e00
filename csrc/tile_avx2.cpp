#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#include "tile_impl.hpp"

namespace copytrace {

// 3 x 4 accumulators of 8 floats, 4 right vectors: all 16 registers.
const TileKernel& avx2_kernel() {
  static constexpr TileKernel kernel = make_kernel<8, 3>("avx2");
  return kernel;
}

}  // namespace copytrace
#endif
