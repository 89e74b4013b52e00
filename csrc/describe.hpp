// Queries from raw embeddings to their final place in one pass: projected, then moved away from the bank.
#pragma once
#include <cstddef>

#include "bank.hpp"
#include "projection.hpp"
#include "tile.hpp"

namespace copytrace {

// raw [rows, projection.inputs()] -> out [rows, bank.size()]. Throws std::invalid_argument where the two do not fit
// together, or a row is not finite.
void describe_queries(const Projection& projection, const Bank& bank, const float* raw, std::size_t rows,
                      const Normalisation& how, float* out, const TileKernel& kernel, std::size_t threads);

}  // namespace copytrace
