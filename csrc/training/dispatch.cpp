#include <stdexcept>

#include "depthwise.hpp"

namespace copytrace {

std::vector<const DepthwiseKernels*> available_depthwise() {
  std::vector<const DepthwiseKernels*> kernels{&depthwise_plain()};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) kernels.push_back(&depthwise_avx2());
  if (avx2 && avx512) kernels.push_back(&depthwise_avx512());
#endif
  return kernels;
}

const DepthwiseKernels& choose_depthwise(const std::string& name) {
  const auto kernels = available_depthwise();
  if (name == "auto") return *kernels.back();
  std::string names = "auto";
  for (const DepthwiseKernels* kernels_of : kernels) {
    if (name == kernels_of->name) return *kernels_of;
    names += std::string(", ") + kernels_of->name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not available on this processor; choose one of: " + names);
}

}  // namespace copytrace
