#include "dispatch.hpp"

#include <stdexcept>

namespace copytrace {

std::vector<const TileKernel*> available_kernels() {
  std::vector<const TileKernel*> kernels{&plain_kernel()};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) kernels.push_back(&avx2_kernel());
  if (avx2 && avx512) kernels.push_back(&avx512_kernel());
  if (avx2 && avx512 && __builtin_cpu_supports("avx512vnni")) kernels.push_back(&vnni_kernel());
#elif defined(__aarch64__)
  kernels.push_back(&neon_kernel());
#endif
  return kernels;
}

const TileKernel& choose_kernel(const std::string& name) {
  const auto kernels = available_kernels();
  if (name == "auto") return *kernels.back();
  std::string names = "auto";
  for (const TileKernel* kernel : kernels) {
    if (name == kernel->name) return *kernel;
    names += std::string(", ") + kernel->name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not available on this processor; choose one of: " + names);
}

}  // namespace copytrace
