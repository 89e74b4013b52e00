// Sums of shares of pixels as pixels again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace copytrace::pixels {

// To the nearest whole number, halves to the even one: above 2^23 a float has no other bits than those of a whole
// number.
inline std::uint8_t rounded(float value) {
  const float shifted = std::min(value, 255.0f) + 8388608.0f;
  std::uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  return static_cast<std::uint8_t>(bits);
}

}  // namespace copytrace::pixels
