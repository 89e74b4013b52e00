// Which pixels of one side of a picture those of a smaller one cover.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace copytrace::pixels {

constexpr double kNothing = 1e-3;  // a share of a pixel that OpenCV leaves out

// What each new pixel of one side covers: old pixels from `first` on, and the share of each.
struct Cover {
  std::vector<std::size_t> first, start;  // of new pixel i: shares[start[i]] to shares[start[i + 1]]
  std::vector<float> shares;

  Cover(std::size_t old_size, std::size_t new_size) {
    const double scale = 1.0 / (static_cast<double>(new_size) / static_cast<double>(old_size));
    for (std::size_t i = 0; i < new_size; ++i) {
      const double left = static_cast<double>(i) * scale, right = left + scale;
      const double cell = std::min(scale, static_cast<double>(old_size) - left);
      const auto last = std::min(static_cast<std::size_t>(std::floor(right)), old_size - 1);
      const auto whole = std::min(static_cast<std::size_t>(std::ceil(left)), last);
      const bool part_before = static_cast<double>(whole) - left > kNothing;
      start.push_back(shares.size());
      first.push_back(part_before ? whole - 1 : whole);
      if (part_before) shares.push_back(static_cast<float>((static_cast<double>(whole) - left) / cell));
      shares.insert(shares.end(), last - whole, static_cast<float>(1.0 / cell));
      const double rest = right - static_cast<double>(last);
      if (rest > kNothing) shares.push_back(static_cast<float>(std::min(std::min(rest, 1.0), cell) / cell));
    }
    start.push_back(shares.size());
  }

  std::size_t count(std::size_t i) const { return start[i + 1] - start[i]; }
};

}  // namespace copytrace::pixels
