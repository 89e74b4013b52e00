#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,prefer-vector-width=512")
#endif
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
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
