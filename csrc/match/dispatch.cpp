#include <stdexcept>

#include "nearest.hpp"

namespace copytrace::match {

std::vector<const NearestKernel*> available_nearest() {
  std::vector<const NearestKernel*> kernels{&nearest_plain()};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) kernels.push_back(&nearest_avx2());
  if (avx2 && avx512) kernels.push_back(&nearest_avx512());
  if (avx2 && avx512 && __builtin_cpu_supports("avx512vnni")) kernels.push_back(&nearest_vnni());
#endif
  return kernels;
}

const NearestKernel& choose_nearest(const std::string& name) {
  const auto kernels = available_nearest();
  if (name == "auto") return *kernels.back();
  std::string names = "auto";
  for (const NearestKernel* kernel : kernels) {
    if (name == kernel->name) return *kernel;
    names += std::string(", ") + kernel->name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not available on this processor; choose one of: " + names);
}

}  // namespace copytrace::match
