#include "dispatch.hpp"

#include <stdexcept>

namespace copytrace::match {

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets{{"plain", nearest_plain(), sift_plain()}};
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) sets.push_back({"avx2", nearest_avx2(), sift_avx2()});
  if (avx2 && avx512) sets.push_back({"avx512", nearest_avx512(), sift_avx512()});
  if (avx2 && avx512 && __builtin_cpu_supports("avx512vnni")) {
    sets.push_back({"avx512vnni", nearest_vnni(), sift_avx512()});
  }
#endif
  return sets;
}

InstructionSet choose_instructions(const std::string& name) {
  const auto sets = instruction_sets();
  if (name == "auto") return sets.back();
  std::string names = "auto";
  for (const InstructionSet& set : sets) {
    if (name == set.name) return set;
    names += std::string(", ") + set.name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not available on this processor; choose one of: " + names);
}

}  // namespace copytrace::match
