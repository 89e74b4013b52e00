#include "dispatch.hpp"

#include <stdexcept>

namespace copytrace::network {

std::vector<const Kernels*> available_kernels() {
  std::vector<const Kernels*> kernels{&kernels_plain()};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) kernels.push_back(&kernels_avx2());
  if (avx2 && avx512 && __builtin_cpu_supports("avx512vnni")) kernels.push_back(&kernels_vnni());
#endif
  return kernels;
}

const Kernels& choose_kernels(const std::string& name) {
  const auto kernels = available_kernels();
  if (name == "auto") return *kernels.back();
  std::string names = "auto";
  for (const Kernels* one : kernels) {
    if (name == one->name) return *one;
    names += std::string(", ") + one->name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not available on this processor; choose one of: " + names);
}

}  // namespace copytrace::network
