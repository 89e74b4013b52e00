#include "lists.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "../parallel.hpp"

namespace copytrace::match {
namespace {

constexpr std::size_t kPanelBytes = kListPanel * kDescriptor, kProbe = kDescriptor / 2;
constexpr std::size_t kLeastRows = 256;  // that a thread takes

// Where the four bytes of a row lie from which the others follow at every kListPanel * 4.
std::size_t place_of(std::size_t row) { return row / kListPanel * kPanelBytes + row % kListPanel * 4; }

void copy_row(const std::uint8_t* from, std::size_t from_step, std::uint8_t* to, std::size_t to_step) {
  for (std::size_t g = 0; g < kDescriptor / 4; ++g) std::memcpy(to + g * to_step, from + g * from_step, 4);
}

// Vectors that double leave half of the memory unused; these at most an eighth.
template <typename T>
void grow(std::vector<T>& values, std::size_t size, T fill) {
  if (size > values.capacity()) values.reserve(size + size / 8);
  values.resize(size, fill);
}

std::int32_t squared_length(const std::uint8_t* row) { return std::inner_product(row, row + kDescriptor, row, 0); }

// Puts a row into a sorted list of `most` where it belongs; it is no farther than the last one.
void insert(std::int32_t distance, std::int64_t number, std::size_t most, std::int32_t* distances,
            std::int64_t* numbers) {
  std::size_t i = most - 1;
  if (distance == distances[i] && number > numbers[i]) return;
  for (; i > 0 && (distance < distances[i - 1] || (distance == distances[i - 1] && number < numbers[i - 1])); --i) {
    distances[i] = distances[i - 1];
    numbers[i] = numbers[i - 1];
  }
  distances[i] = distance;
  numbers[i] = number;
}

}  // namespace

struct Lists::Probes {
  const std::int32_t *rows, *end;        // numbers of query rows
  const std::int32_t *packed, *lengths;  // of all query rows
};

void Lists::List::append(const std::uint8_t* row, std::int32_t length, std::int64_t number) {
  const std::size_t place = numbers.size();
  if (place == lengths.size()) {
    grow(panels, place_of(place) + kPanelBytes, std::uint8_t{0});
    grow(lengths, place + kListPanel, kNoDistance);
  }
  grow(numbers, place + 1, std::int64_t{-1});
  copy_row(row, 4, panels.data() + place_of(place), kListPanel * 4);
  lengths[place] = length;
  numbers[place] = number;
}

void Lists::List::remove(std::size_t place) {
  const std::size_t last = numbers.size() - 1;
  static constexpr std::uint8_t kZeros[kDescriptor] = {};
  std::uint8_t* gone = panels.data() + place_of(last);
  copy_row(gone, kListPanel * 4, panels.data() + place_of(place), kListPanel * 4);
  copy_row(kZeros, 4, gone, kListPanel * 4);
  lengths[place] = lengths[last];
  lengths[last] = kNoDistance;
  numbers[place] = numbers[last];
  numbers.pop_back();
  if (numbers.size() + kListPanel == lengths.size()) {
    lengths.resize(numbers.size());
    panels.resize(numbers.size() * kDescriptor);
  }
}

Lists::Lists(const std::uint8_t* centroids, std::size_t count, const NearestKernel& kernel)
    : kernel_(kernel), quantiser_(centroids, count, kernel), lists_(count) {}

void Lists::add(const std::uint8_t* rows, const std::int64_t* numbers, std::size_t count, std::size_t threads) {
  std::vector<std::int32_t> nearest(2 * count), distances(2 * count);
  quantiser_.nearest(rows, count, threads, nearest.data(), distances.data());
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* row = rows + i * kDescriptor;
    const std::int32_t sum = std::accumulate(row, row + kDescriptor, 0);
    lists_[static_cast<std::size_t>(nearest[2 * i])].append(row, squared_length(row) - 2 * kernel_.shift * sum,
                                                            numbers[i]);
    ++size_;
  }
}

std::size_t Lists::remove(std::vector<std::int64_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const std::size_t before = size_;
  for (List& list : lists_) {
    for (std::size_t i = list.numbers.size(); i-- > 0;) {  // what takes its place has been looked at
      if (!std::binary_search(numbers.begin(), numbers.end(), list.numbers[i])) continue;
      list.remove(i);
      --size_;
    }
  }
  return before - size_;
}

void Lists::nearest(const std::uint8_t* rows, std::size_t count, std::size_t most, std::size_t threads,
                    std::int32_t* distances, std::int64_t* numbers) const {
  std::fill(distances, distances + count * most, kNoDistance);
  std::fill(numbers, numbers + count * most, std::int64_t{-1});
  const std::size_t share = (count + threads - 1) / threads;
  copytrace::parallel_blocks(count, std::max(kLeastRows, share), threads, [&](std::size_t begin, std::size_t end) {
    nearest_of_block(rows + begin * kDescriptor, end - begin, most, distances + begin * most, numbers + begin * most);
  });
}

// Every list is read once for all rows that look through it.
void Lists::nearest_of_block(const std::uint8_t* rows, std::size_t count, std::size_t most, std::int32_t* distances,
                             std::int64_t* numbers) const {
  std::vector<std::int32_t> chosen(2 * count), far(2 * count), packed(count * kProbe), lengths(count);
  quantiser_.nearest(rows, count, 1, chosen.data(), far.data());
  for (std::size_t i = 0; i < count; ++i) {
    kernel_.pack_probe(rows + i * kDescriptor, packed.data() + i * kProbe);
    lengths[i] = squared_length(rows + i * kDescriptor);
  }
  std::vector<std::pair<std::int32_t, std::int32_t>> order;  // list, row
  for (std::size_t i = 0; i < 2 * count; ++i) {
    if (chosen[i] >= 0) order.emplace_back(chosen[i], static_cast<std::int32_t>(i / 2));
  }
  std::sort(order.begin(), order.end());
  std::vector<std::int32_t> probes;
  for (std::size_t i = 0; i < order.size();) {
    const std::int32_t list = order[i].first;
    for (probes.clear(); i < order.size() && order[i].first == list; ++i) probes.push_back(order[i].second);
    scan(lists_[static_cast<std::size_t>(list)],
         {probes.data(), probes.data() + probes.size(), packed.data(), lengths.data()}, most, distances, numbers);
  }
}

void Lists::scan(const List& list, const Probes& probes, std::size_t most, std::int32_t* distances,
                 std::int64_t* numbers) const {
  std::int32_t found[kListPanel];
  for (std::size_t first = 0; first < list.lengths.size(); first += kListPanel) {
    const std::uint8_t* panel = list.panels.data() + first * kDescriptor;
    for (const std::int32_t* probe = probes.rows; probe != probes.end; ++probe) {
      const auto row = static_cast<std::size_t>(*probe);
      std::int32_t *nearest = distances + row * most, *last = nearest + most - 1;
      const std::int32_t length = probes.lengths[row];
      // One less where nothing is found yet: places behind the last row are that far away.
      const std::int32_t limit = std::min(*last, kNoDistance - 1) - length;
      std::uint32_t bits =
          kernel_.scan_panel(panel, list.lengths.data() + first, probes.packed + row * kProbe, limit, found);
      for (; bits != 0; bits &= bits - 1) {
        const auto lane = static_cast<std::size_t>(__builtin_ctz(bits));
        if (found[lane] + length > *last) continue;  // one before it was nearer than the limit
        insert(found[lane] + length, list.numbers[first + lane], most, nearest, numbers + row * most);
      }
    }
  }
}

}  // namespace copytrace::match
