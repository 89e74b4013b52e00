// All pairs whose inner product exceeds a threshold, without storing the products.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "packed.hpp"
#include "tile.hpp"

namespace copytrace {

struct Pair {
  std::int64_t query;
  std::int64_t row;
};

class Scan {
 public:
  Scan(const float* rows, std::size_t count, std::size_t size);

  std::size_t size() const { return packed_.depth(); }

  // Every (query, row) with query . row > thresholds[query]: queries [count, size], ordered by groups of queries.
  std::vector<Pair> above(const float* queries, std::size_t count, const float* thresholds, const TileKernel& kernel,
                          std::size_t threads) const;

 private:
  void scan_block(const float* queries, std::size_t begin, std::size_t end, const float* thresholds,
                  const TileKernel& kernel, std::vector<Pair>& found) const;

  PackedRows packed_;
};

}  // namespace copytrace
