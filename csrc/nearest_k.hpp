// The k first of everything that was added, in the order of `<`.
#pragma once
#include <algorithm>
#include <cstddef>
#include <vector>

namespace copytrace {

// `<` must order all that is added strictly: what is kept then never depends on the order of arrival.
template <typename Item>
class NearestK {
 public:
  explicit NearestK(std::size_t k) : k_(k) {}

  // True where `last` changed: a newcomer must come before it from now on.
  bool add(const Item& item) {
    if (kept_.empty()) kept_.reserve(std::min<std::size_t>(k_ + std::max<std::size_t>(k_ / 4, 32), 1024));
    kept_.push_back(item);
    // A tight bound turns most newcomers away; trimming more often than this costs more than that saves.
    if (kept_.size() < k_ + std::max<std::size_t>(k_ / 4, 32)) return false;
    return trim();
  }

  // The last of the k, once there are so many: of those that were there when `add` said so, or after `trim`.
  bool full() const { return full_; }
  const Item& last() const { return last_; }

  // Keeps the k first, in no order; true where there are so many.
  bool trim() {
    if (kept_.size() < k_) return false;
    std::nth_element(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(k_ - 1), kept_.end());
    last_ = kept_[k_ - 1];
    kept_.resize(k_);
    return full_ = true;
  }

  // The k first, in order.
  const std::vector<Item>& sorted() {
    trim();
    std::sort(kept_.begin(), kept_.end());
    return kept_;
  }

  const std::vector<Item>& kept() const { return kept_; }

 private:
  std::size_t k_;
  bool full_ = false;
  Item last_{};
  std::vector<Item> kept_;
};

}  // namespace copytrace
