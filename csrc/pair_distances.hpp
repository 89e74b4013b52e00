// Squared distances of pairs that are given, as the searches compute them: for who proposes pairs by other means.
#pragma once
#include <cstddef>
#include <cstdint>

namespace copytrace {

struct PairedRows {
  const float* queries;
  std::size_t query_count;
  const float* rows;
  std::size_t row_count;
  std::size_t size;
};

// out[i] = |queries[query[i]] - rows[row[i]]|^2 in float64, the same bits on every instruction set; i < count. Throws
// std::invalid_argument for a number that is no row's.
void pair_distances(const PairedRows& both, const std::int64_t* query, const std::int64_t* row, std::size_t count,
                    double* out, std::size_t threads);

}  // namespace copytrace
