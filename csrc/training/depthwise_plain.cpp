#include "depthwise.hpp"

namespace copytrace {
namespace {
constexpr std::size_t kWidth = 4;
}
}  // namespace copytrace

#include "depthwise_impl.hpp"

namespace copytrace {

const DepthwiseKernels& depthwise_plain() {
  static constexpr DepthwiseKernels kernels = make_depthwise("plain");
  return kernels;
}

}  // namespace copytrace
