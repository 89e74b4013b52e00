#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
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
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
