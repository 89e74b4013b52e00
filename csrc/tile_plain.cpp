// Any processor: what the compiler's baseline gives (SSE2 on x86-64, NEON on ARM64).
#include "tile_impl.hpp"

namespace copytrace {

const TileKernel& plain_kernel() {
  static constexpr TileKernel kernel = make_kernel<4, 1>("plain");
  return kernel;
}

}  // namespace copytrace
