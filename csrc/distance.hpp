// Squared Euclidean distances in float64, which decide what a search in float32 or bytes proposes.
#pragma once
#include <cstddef>

namespace copytrace {

// Sum of (a[i] - b[i])^2, added up in one order and never fused, so that every processor gets the same bits.
double squared_distance(const float* a, const float* b, std::size_t size);

}  // namespace copytrace
