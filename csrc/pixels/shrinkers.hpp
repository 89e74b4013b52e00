// The ways to shrink a picture, one for each instruction set; `area.hpp` says what all of them do, to the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace copytrace::pixels {

using Shrink = void(const std::uint8_t* from, std::size_t height, std::size_t width, std::uint8_t* to,
                    std::size_t new_height, std::size_t new_width);

Shrink shrink_plain;  // four values at a time: a pixel's three and one of no use
#if defined(__x86_64__)
Shrink shrink_avx512;  // sixteen rows at a time
#endif

}  // namespace copytrace::pixels
