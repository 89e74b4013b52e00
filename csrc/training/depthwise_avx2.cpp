#if defined(__x86_64__)
#pragma GCC target("avx2,fma")
#include "depthwise.hpp"

namespace copytrace {
namespace {
constexpr std::size_t kWidth = 8;
}
}  // namespace copytrace

#include "depthwise_impl.hpp"

namespace copytrace {

const DepthwiseKernels& depthwise_avx2() {
  static constexpr DepthwiseKernels kernels = make_depthwise("avx2");
  return kernels;
}

}  // namespace copytrace
#endif
