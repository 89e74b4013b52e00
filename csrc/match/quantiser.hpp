// The coarse quantiser of local recall: which two centroids are nearest to a descriptor, exactly.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nearest.hpp"

namespace copytrace::match {

class Quantiser {
 public:
  // centroids: uint8 [count, 128], at least one.
  Quantiser(const std::uint8_t* centroids, std::size_t count, const NearestKernel& kernel);

  // uint8 [count, 128] -> numbers and squared distances, int32 [count, 2]; of equally near ones the first, and -1 where
  // there is no second. Whatever `threads`, the same.
  void nearest(const std::uint8_t* rows, std::size_t count, std::size_t threads, std::int32_t* numbers,
               std::int32_t* distances) const;

 private:
  // Few enough of them that what is found about each stays in the processor's cache.
  struct Part {
    std::size_t first, blocks;
    std::vector<std::uint8_t> packed;
    std::vector<std::int32_t> lengths;
  };

  void nearest_of_block(const std::uint8_t* rows, std::size_t count, std::int32_t* numbers,
                        std::int32_t* distances) const;

  const NearestKernel& kernel_;
  std::vector<Part> parts_;
};

}  // namespace copytrace::match
