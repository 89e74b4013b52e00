// Contraction into fused products would round differently where the baseline has them (ARM64).
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

#include "distance.hpp"

namespace copytrace {

double squared_distance(const float* a, const float* b, std::size_t size) {
  constexpr std::size_t kLanes = 8;
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const double difference = static_cast<double>(a[i + j]) - b[i + j];
      lanes[j] += difference * difference;
    }
  }
  for (; i < size; ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    lanes[i % kLanes] += difference * difference;
  }
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

}  // namespace copytrace
