#include "area.hpp"

#include <stdexcept>

#include "shrinkers.hpp"

namespace copytrace::pixels {
namespace {

struct Way {
  const char* name;
  Shrink* shrink;
};

std::vector<Way> ways() {
  std::vector<Way> found{{"plain", &shrink_plain}};
#if defined(__x86_64__)
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx512) found.push_back({"avx512", &shrink_avx512});
#endif
  return found;
}

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Way& way : ways()) names.emplace_back(way.name);
  return names;
}

void shrink(const std::uint8_t* from, std::size_t height, std::size_t width, std::uint8_t* to, std::size_t new_height,
            std::size_t new_width, const std::string& instructions) {
  static const std::vector<Way> available = ways();
  if (instructions == "auto") return available.back().shrink(from, height, width, to, new_height, new_width);
  for (const Way& way : available) {
    if (instructions == way.name) return way.shrink(from, height, width, to, new_height, new_width);
  }
  throw std::invalid_argument("instruction set '" + instructions + "' is not available on this processor");
}

}  // namespace copytrace::pixels
