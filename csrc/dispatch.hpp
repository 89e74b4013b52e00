// Which instruction set runs: the best one the processor has, or the one asked for by name.
#pragma once
#include <string>
#include <vector>

#include "tile.hpp"

namespace copytrace {

// Kernels this processor can run, slowest first.
std::vector<const TileKernel*> available_kernels();

// `name` is "auto" or a kernel's name. Throws std::invalid_argument with the names that would work.
const TileKernel& choose_kernel(const std::string& name);

}  // namespace copytrace
