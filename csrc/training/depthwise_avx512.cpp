#if defined(__x86_64__)
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#include "depthwise.hpp"

namespace copytrace {
namespace {
constexpr std::size_t kWidth = 16;
}
}  // namespace copytrace

#include "depthwise_impl.hpp"

namespace copytrace {

const DepthwiseKernels& depthwise_avx512() {
  static constexpr DepthwiseKernels kernels = make_depthwise("avx512");
  return kernels;
}

}  // namespace copytrace
#endif
