// Query normalisation against a bank of training descriptors, fused with the search for the nearest bank rows: scores
// are looked at tile by tile and never stored.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "packed.hpp"
#include "quantised.hpp"
#include "tile.hpp"

namespace copytrace {

struct Neighbour {
  float cosine;
  std::int64_t row;
};

// Method 1 scales the query by 1 + beta sqrt(C); method 2 moves it by beta sqrt(C) along its mean direction away from
// the `directions` nearest rows. C is the mean cosine of the `cosines` nearest rows, at least 0.
struct Normalisation {
  int method;
  float beta;
  std::size_t cosines;
  std::size_t directions;
};

class Bank {
 public:
  // `rows` [count, size] must outlive the bank: method 2 reads the rows themselves, the search a packed, unit-length
  // copy.
  Bank(const float* rows, std::size_t count, std::size_t size);

  std::size_t count() const { return packed_.rows(); }
  std::size_t size() const { return packed_.depth(); }

  // The k rows of greatest cosine, equal ones in row order: cosines and indices [queries, k], k <= count().
  void nearest(const float* queries, std::size_t count, std::size_t k, float* cosines, std::int64_t* indices,
               const TileKernel& kernel, std::size_t threads) const;

  // queries [count, size] -> out [count, size]; may be the same memory.
  void normalise(const float* queries, std::size_t count, const Normalisation& how, float* out,
                 const TileKernel& kernel, std::size_t threads) const;

  void normalise_block(const float* queries, std::size_t count, const Normalisation& how, float* out,
                       const TileKernel& kernel) const;

 private:
  std::vector<std::vector<Neighbour>> search_block(const float* queries, std::size_t count, std::size_t k,
                                                   const TileKernel& kernel) const;
  void move_query(const float* query, const std::vector<Neighbour>& nearest, const Normalisation& how, float* out,
                  const TileKernel& kernel) const;

  const float* rows_;
  std::vector<float> inverse_lengths_;
  PackedRows packed_;
  QuantisedPanels quantised_;
};

}  // namespace copytrace
