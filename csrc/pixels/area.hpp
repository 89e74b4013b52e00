// Shrinks pictures by area averaging, to the bits that OpenCV's INTER_AREA gives them, in a quarter of its time or
// less.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace copytrace::pixels {

// uint8 RGB [height, width, 3] -> [new_height, new_width, 3], neither side larger than before. A pixel is the mean of
// those it covers, weighted by how much of each: along the row first, then over rows, in float32, nothing fused,
// rounded half to even. (OpenCV itself does otherwise, by whole numbers, where both sides shrink by a whole number.)
// `instructions` is "auto" or the name of a set. Throws std::invalid_argument for one that this processor has not.
void shrink(const std::uint8_t* from, std::size_t height, std::size_t width, std::uint8_t* to, std::size_t new_height,
            std::size_t new_width, const std::string& instructions);

// Those this processor can run, slowest first.
std::vector<std::string> instruction_sets();

}  // namespace copytrace::pixels
