// What a scan in float32 found for one query, before float64 decides.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "references.hpp"

namespace copytrace {

struct Scored {
  float score;
  std::uint32_t row;
};

// Rows of one block that may be among the k nearest of one query, by scores in float32: the k best, and all that
// rounding could have put behind them.
class Shortlist {
 public:
  Shortlist(std::size_t k, const References& references, double query_square, float& threshold)
      : k_(k),
        full_(k + std::max<std::size_t>(k / 2, 32)),
        references_(&references),
        square_(query_square),
        threshold_(&threshold) {}

  void add(float score, std::size_t row) {
    rows_.push_back({score, static_cast<std::uint32_t>(row)});
    if (rows_.size() >= full_) trim();
  }

  // The rows, which it then no longer has.
  std::vector<Scored> take() {
    trim();
    return std::move(rows_);
  }

 private:
  // Leaves the k best, and what is beside them.
  void trim() {
    if (rows_.size() < k_) return;
    const auto last = rows_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::nth_element(rows_.begin(), last, rows_.end(),
                     [](const Scored& a, const Scored& b) { return a.score > b.score; });
    const float threshold = std::max(*threshold_, references_->threshold_beside(square_, last->score));
    *threshold_ = threshold;
    rows_.erase(std::remove_if(rows_.begin() + static_cast<std::ptrdiff_t>(k_), rows_.end(),
                               [&](const Scored& other) { return other.score <= threshold; }),
                rows_.end());
    full_ = std::max(full_, rows_.size() + rows_.size() / 4);
  }

  std::size_t k_;
  std::size_t full_;
  const References* references_;
  double square_;
  float* threshold_;
  std::vector<Scored> rows_;
};

}  // namespace copytrace
