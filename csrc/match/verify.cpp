#include "verify.hpp"

#include <algorithm>

namespace copytrace::match {
namespace {

constexpr std::int32_t kTurn = 65536;

}  // namespace

// The packed reference, and what the kernel found for one variant.
struct Query::Scratch {
  Scratch(const Features& reference, const NearestKernel& kernel, std::size_t padded)
      : count(reference.count),
        packed(packed_bytes(count, kernel.block)),
        lengths(whole(count, kernel.block)),
        distance(padded),
        row(padded),
        second(padded),
        second_row(padded),
        columns(lengths.size() * kernel.panel),
        least(count) {
    kernel.pack_reference(reference.descriptors, count, packed.data(), lengths.data());
  }

  std::size_t count;
  std::vector<std::uint8_t> packed;
  std::vector<std::int32_t> lengths, distance, row, second, second_row, columns, least;
};

Query::Query(const Features& features, const std::uint8_t* bins, const NearestKernel& kernel)
    : kernel_(kernel),
      count_(features.count),
      padded_(whole(count_, kernel.panel)),
      keypoints_(features.keypoints, features.keypoints + 4 * count_),
      lengths_(padded_) {
  for (std::size_t variant = 0; variant < kVariants; ++variant) {
    packed_[variant].resize(packed_bytes(count_, kernel.panel));
    kernel.pack_query(features.descriptors, count_, bins + variant * kDescriptor, packed_[variant].data(),
                      lengths_.data());
  }
}

Query::Rows Query::nearest_pairs(std::size_t variant, const std::int32_t* others, double ratio, Scratch& s) const {
  kernel_.find(packed_[variant].data(), lengths_.data(), padded_ / kernel_.panel, s.packed.data(), s.lengths.data(),
               s.lengths.size() / kernel_.block, s.distance.data(), s.row.data(), s.second.data(), s.second_row.data(),
               s.columns.data());
  for (std::size_t j = 0; j < s.count; ++j) {
    const auto column = s.columns.begin() + static_cast<std::ptrdiff_t>(j * kernel_.panel);
    s.least[j] = *std::min_element(column, column + static_cast<std::ptrdiff_t>(kernel_.panel));
  }
  Rows rows;
  for (std::size_t i = 0; i < count_; ++i) {
    const std::int32_t second = others == nullptr ? s.second[i] : std::min(s.second[i], others[variant * count_ + i]);
    std::int32_t& least = s.least[static_cast<std::size_t>(s.row[i])];
    if (s.distance[i] != least || second >= kNoDistance || !(s.distance[i] < ratio * ratio * second)) continue;
    rows.emplace_back(static_cast<std::int32_t>(i), s.row[i]);
    least = -1;  // one match for each row of the reference: no later row of the query can be as near
  }
  return rows;
}

Match Query::match(std::size_t variant, std::int32_t row, const std::uint16_t* target) const {
  const std::uint16_t* source = keypoints_.data() + 4 * static_cast<std::size_t>(row);
  const bool mirrored = (variant & 1) != 0, inverted = (variant & 2) != 0;
  const std::int32_t x = source[0], angle = source[3];
  const std::int32_t moved = (mirrored ? kTurn / 2 - angle : angle) + (inverted ? kTurn / 2 : 0);
  return {mirrored ? -x : x, source[1], target[0], target[1], target[2] - source[2], (target[3] - moved) & (kTurn - 1)};
}

Verified Query::verify(const Features& reference, const std::int32_t* others, const Rules& rules) const {
  Verified best;
  if (count_ == 0 || reference.count == 0) return best;
  Scratch scratch(reference, kernel_, padded_);
  std::vector<Match> matches;
  for (std::size_t variant = 0; variant < kVariants; ++variant) {
    const Rows rows = nearest_pairs(variant, others, rules.ratio, scratch);
    if (rows.size() <= best.inliers) continue;
    matches.clear();
    for (const auto& [query, target] : rows) {
      matches.push_back(match(variant, query, reference.keypoints + 4 * static_cast<std::size_t>(target)));
    }
    const Agreement found = agreeing(matches, rules);
    if (found.count <= best.inliers) continue;
    best.inliers = found.count;
    best.variant = variant;
    best.matches = rows.size();
    best.rows.clear();
    for (const std::size_t i : found.inside) best.rows.push_back(rows[i]);
    best.affine = inverse(found.map, (variant & 1) != 0);
    best.spread = found.spread;
  }
  return best;
}

}  // namespace copytrace::match
