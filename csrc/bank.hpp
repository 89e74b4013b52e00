// Query normalisation against a bank of training descriptors, fused with the search for the nearest bank rows: scores
// are looked at tile by tile and never stored.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scanned_rows.hpp"
#include "tile.hpp"

namespace copytrace {

struct Neighbour {
  float cosine;
  std::int64_t row;

  // Whether this one comes first.
  bool operator<(const Neighbour& other) const {
    return cosine != other.cosine ? cosine > other.cosine : row < other.row;
  }
};

// Method 1 scales the query by 1 + beta sqrt(C); method 2 moves it by beta sqrt(C) along its mean direction away from
// the `directions` nearest rows. C is the mean cosine of the `cosines` nearest rows, at least 0.
struct Normalisation {
  int method;
  float beta;
  std::size_t cosines;
  std::size_t directions;

  // Throws std::invalid_argument on another method, beta that is not finite, or nothing to average over.
  void check() const;
};

class Bank {
 public:
  // Copies `rows` [count, size]. Throws std::invalid_argument when there is none, or one is not finite.
  Bank(const float* rows, std::size_t count, std::size_t size);

  std::size_t count() const { return rows_.count(); }
  std::size_t size() const { return rows_.size(); }

  // Throws std::invalid_argument unless 1 <= k <= count().
  void check_k(std::size_t k) const;

  // The k rows of greatest cosine, equal ones in row order: cosines and indices [queries, k].
  void nearest(const float* queries, std::size_t count, std::size_t k, float* cosines, std::int64_t* indices,
               const TileKernel& kernel, std::size_t threads) const;

  // queries [count, size] -> out [count, size], which may be the same memory.
  void normalise(const float* queries, std::size_t count, const Normalisation& how, float* out,
                 const TileKernel& kernel, std::size_t threads) const;

  // To be called before `normalise_block`; what is above does it itself.
  void prepare(const TileKernel& kernel, std::size_t threads) const { rows_.prepare(kernel, threads); }

  void normalise_block(const float* queries, std::size_t count, const Normalisation& how, float* out,
                       const TileKernel& kernel) const;

 private:
  std::vector<std::vector<Neighbour>> search_block(const float* queries, std::size_t count, std::size_t k,
                                                   const TileKernel& kernel) const;
  void move_query(const float* query, const std::vector<Neighbour>& nearest, const Normalisation& how, float* out,
                  const TileKernel& kernel) const;

  ScannedRows rows_;
};

}  // namespace copytrace
