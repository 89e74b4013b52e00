#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#include "tile_impl.hpp"

namespace copytrace {

// 12 x 2 accumulators of 16 floats, 2 right vectors: 26 of 32 registers, enough to hide the latency of two FMA units.
const TileKernel& avx512_kernel() {
  static constexpr TileKernel kernel = make_kernel<16, 12>("avx512");
  return kernel;
}

}  // namespace copytrace
#endif
