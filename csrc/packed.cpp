#include "packed.hpp"

#include <algorithm>
#include <new>

namespace copytrace {

namespace {
constexpr std::align_val_t kAlignment{64};
}

void PackedRows::Free::operator()(float* pointer) const { ::operator delete[](pointer, kAlignment); }

PackedRows::PackedRows(const float* data, std::size_t rows, std::size_t depth, std::size_t group, const float* scale)
    : rows_(rows), depth_(depth), group_(group) {
  const std::size_t size = std::max<std::size_t>(groups() * group * depth, 1);
  data_.reset(static_cast<float*>(::operator new[](size * sizeof(float), kAlignment)));
  for (std::size_t first = 0; first < rows; first += group) {
    const std::size_t count = std::min(group, rows - first);
    const float* source = data + first * depth;
    float* target = data_.get() + first * depth;
    for (std::size_t k = 0; k < depth; ++k, target += group) {
      for (std::size_t r = 0; r < count; ++r) target[r] = source[r * depth + k];
      std::fill(target + count, target + group, 0.0f);
      for (std::size_t r = 0; scale != nullptr && r < count; ++r) target[r] *= scale[first + r];
    }
  }
}

}  // namespace copytrace
