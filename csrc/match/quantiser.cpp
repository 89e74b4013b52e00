#include "quantiser.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "../parallel.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kPart = 1008;  // centroids, a multiple of every kernel's block
constexpr std::size_t kBlock = 256;  // rows

// The two nearest so far; what comes later has higher numbers and loses ties.
struct Two {
  std::int32_t number[2] = {-1, -1}, distance[2] = {kNoDistance, kNoDistance};

  void add(std::int32_t candidate, std::int32_t far) {
    if (far >= distance[1]) return;
    const bool first = far < distance[0];
    if (first) distance[1] = distance[0], number[1] = number[0];
    distance[first ? 0 : 1] = far;
    number[first ? 0 : 1] = candidate;
  }
};

}  // namespace

Quantiser::Quantiser(const std::uint8_t* centroids, std::size_t count, const NearestKernel& kernel) : kernel_(kernel) {
  for (std::size_t first = 0; first < count; first += kPart) {
    const std::size_t size = std::min(kPart, count - first), padded = whole(size, kernel.block);
    Part part{first, padded / kernel.block, std::vector<std::uint8_t>(packed_bytes(size, kernel.block)),
              std::vector<std::int32_t>(padded)};
    kernel.pack_reference(centroids + first * kDescriptor, size, part.packed.data(), part.lengths.data());
    parts_.push_back(std::move(part));
  }
}

void Quantiser::nearest(const std::uint8_t* rows, std::size_t count, std::size_t threads, std::int32_t* numbers,
                        std::int32_t* distances) const {
  copytrace::parallel_blocks(count, kBlock, threads, [&](std::size_t begin, std::size_t end) {
    nearest_of_block(rows + begin * kDescriptor, end - begin, numbers + 2 * begin, distances + 2 * begin);
  });
}

void Quantiser::nearest_of_block(const std::uint8_t* rows, std::size_t count, std::int32_t* numbers,
                                 std::int32_t* distances) const {
  const std::size_t padded = whole(count, kernel_.panel);
  std::uint8_t bins[kDescriptor];
  std::iota(bins, bins + kDescriptor, std::uint8_t{0});
  std::vector<std::uint8_t> packed(packed_bytes(count, kernel_.panel));
  std::vector<std::int32_t> lengths(padded), distance(padded), row(padded), second(padded), second_row(padded);
  std::vector<std::int32_t> least(whole(kPart, kernel_.block) * kernel_.panel);
  kernel_.pack_query(rows, count, bins, packed.data(), lengths.data());
  std::vector<Two> found(count);
  for (const Part& part : parts_) {
    kernel_.find(packed.data(), lengths.data(), padded / kernel_.panel, part.packed.data(), part.lengths.data(),
                 part.blocks, distance.data(), row.data(), second.data(), second_row.data(), least.data());
    const auto first = static_cast<std::int32_t>(part.first);
    for (std::size_t i = 0; i < count; ++i) {
      found[i].add(first + row[i], distance[i]);
      found[i].add(first + second_row[i], second[i]);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::copy(found[i].number, found[i].number + 2, numbers + 2 * i);
    std::copy(found[i].distance, found[i].distance + 2, distances + 2 * i);
  }
}

}  // namespace copytrace::match
