// The k nearest references of every query, block of references by block: what was found before keeps the next scan
// short.
#pragma once
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "nearest_k.hpp"
#include "references.hpp"
#include "shortlist.hpp"
#include "tile.hpp"

namespace copytrace {

// A reference's distance to one query; equal ones are ordered by rank.
struct RankedNeighbour {
  double distance;
  std::int64_t rank;
  std::int64_t row;

  bool operator<(const RankedNeighbour& other) const {
    return distance != other.distance ? distance < other.distance : rank < other.rank;
  }
};

class NearestSearch {
 public:
  // Copies queries [count, size]; k >= 1. Throws std::invalid_argument on values that cannot be searched for.
  NearestSearch(const float* queries, std::size_t count, std::size_t size, std::size_t k);

  std::size_t size() const { return queries_.size; }

  // Searches one block whose rows are numbered from `first`; ranks [count] must differ from those of all other rows,
  // alive [count] marks the rows that count (null: all).
  void add(const References& block, std::int64_t first, const std::int64_t* ranks, const std::uint8_t* alive,
           const TileKernel& kernel, std::size_t threads);

  // How many pairs there are so far.
  std::size_t found() const;

  // Those pairs, in the order of query, distance and rank: queries, rows and distances [count]. Throws
  // std::invalid_argument where `count` is not found() any more.
  void result(std::size_t count, std::int64_t* queries, std::int64_t* rows, double* distances, std::size_t threads);

 private:
  struct Block {
    const References& references;
    std::int64_t first;
    const std::int64_t* ranks;
    const std::uint8_t* alive;
  };

  // The rows of some panels that may be among the k nearest, for queries begin <= query < end. Scores must exceed the
  // thresholds [end - begin], which rise to what k rows found allow.
  std::vector<std::vector<Scored>> shortlist(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                                             std::size_t k, std::vector<float>& thresholds,
                                             const TileKernel& kernel) const;

  // Thresholds that, by a sample of the rows, somewhat more than k of them exceed.
  std::vector<float> guess(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                           const TileKernel& kernel) const;

  // The same as shortlist where nothing is known yet.
  std::vector<std::vector<Scored>> first_shortlist(const Block& block, std::size_t begin, std::size_t end,
                                                   Panels panels, const TileKernel& kernel) const;

  // Calls found(query, neighbour) for all that may be among the k nearest.
  template <typename Found>
  void search(const Block& block, std::size_t begin, std::size_t end, Panels panels, const TileKernel& kernel,
              const Found& found) const;

  // One call at a time. Throws std::runtime_error in a process that was forked amid a call: it would wait for ever.
  std::unique_lock<std::mutex> hold() const;

  // Where in the result each query's pairs begin [count + 1].
  std::vector<std::size_t> places() const;

  const pid_t owner_ = getpid();
  mutable std::mutex running_;
  std::vector<float> data_;
  Queries queries_;
  std::size_t k_;
  std::vector<NearestK<RankedNeighbour>> best_;
};

}  // namespace copytrace
