#include "describe.hpp"

#include <stdexcept>

#include "parallel.hpp"
#include "scan_tiles.hpp"

namespace copytrace {

void describe_queries(const Projection& projection, const Bank& bank, const float* raw, std::size_t rows,
                      const Normalisation& how, float* out, const TileKernel& kernel, std::size_t threads) {
  if (projection.outputs() != bank.size()) {
    throw std::invalid_argument("the bank's columns must equal the projection's outputs");
  }
  how.check();
  bank.prepare(kernel, threads);
  const std::size_t block = rows_per_block(rows, kScanRows, kernel.rows, threads);
  parallel_blocks(rows, block, threads, [&](std::size_t begin, std::size_t end) {
    float* part = out + begin * bank.size();
    projection.apply_block(raw + begin * projection.inputs(), end - begin, part, kernel);
    bank.normalise_block(part, end - begin, how, part, kernel);
  });
}

}  // namespace copytrace
