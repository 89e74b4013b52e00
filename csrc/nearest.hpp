// The k best neighbours seen so far, and the score that a newcomer has to exceed.
#pragma once
#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

#include "bank.hpp"

namespace copytrace {

class NearestK {
 public:
  explicit NearestK(std::size_t k) : k_(k) { kept_.reserve(capacity()); }

  float threshold() const { return threshold_; }

  // Rows must arrive in ascending order: a later row of equal score then never displaces an earlier one.
  void add(float score, std::int64_t row) {
    kept_.push_back({score, row});
    if (kept_.size() == capacity()) trim();
  }

  // The k best, best first.
  std::vector<Neighbour> sorted() {
    trim();
    std::sort(kept_.begin(), kept_.end(), better);
    return std::move(kept_);
  }

 private:
  std::size_t capacity() const { return 2 * k_ + 32; }

  static bool better(const Neighbour& a, const Neighbour& b) {
    return a.cosine != b.cosine ? a.cosine > b.cosine : a.row < b.row;
  }

  void trim() {
    if (kept_.size() < k_) return;
    std::nth_element(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), kept_.end(), better);
    threshold_ = kept_[k_ - 1].cosine;
    kept_.resize(k_);
  }

  std::size_t k_;
  float threshold_ = -std::numeric_limits<float>::infinity();
  std::vector<Neighbour> kept_;
};

}  // namespace copytrace
