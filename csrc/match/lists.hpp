// Descriptors in the lists of a coarse quantiser, to look for the nearest ones in two lists for each query row.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nearest.hpp"
#include "quantiser.hpp"

namespace copytrace::match {

class Lists {
 public:
  // centroids: uint8 [count, 128], at least one; a list for each.
  Lists(const std::uint8_t* centroids, std::size_t count, const NearestKernel& kernel);

  // uint8 [count, 128], each into the list of its nearest centroid, under numbers of 0 or more that are not there yet.
  void add(const std::uint8_t* rows, const std::int64_t* numbers, std::size_t count, std::size_t threads);

  // Forgets rows by their numbers, which need not be there; how many were.
  std::size_t remove(std::vector<std::int64_t> numbers);

  // For every row uint8 [count, 128] the `most` nearest ones of the lists of its two nearest centroids: squared
  // distances, ascending, and numbers, [count, most]; of equally near ones the smaller number first, and kNoDistance
  // and -1 where there are fewer. Nothing depends on the order in which rows were added, or on `threads`.
  void nearest(const std::uint8_t* rows, std::size_t count, std::size_t most, std::size_t threads,
               std::int32_t* distances, std::int64_t* numbers) const;

  std::size_t size() const { return size_; }

 private:
  struct List {
    std::vector<std::uint8_t> panels;
    std::vector<std::int32_t> lengths;  // whole panels, kNoDistance behind the last row
    std::vector<std::int64_t> numbers;

    void append(const std::uint8_t* row, std::int32_t length, std::int64_t number);
    void remove(std::size_t place);
  };

  struct Probes;  // the query rows that look through one list

  void nearest_of_block(const std::uint8_t* rows, std::size_t count, std::size_t most, std::int32_t* distances,
                        std::int64_t* numbers) const;
  void scan(const List& list, const Probes& probes, std::size_t most, std::int32_t* distances,
            std::int64_t* numbers) const;

  const NearestKernel& kernel_;
  Quantiser quantiser_;
  std::vector<List> lists_;
  std::size_t size_ = 0;
};

}  // namespace copytrace::match
