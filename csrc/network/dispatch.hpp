// Which instruction set runs: the best one the processor has, or the one asked for by name.
#pragma once
#include <string>
#include <vector>

#include "kernels.hpp"

namespace copytrace::network {

// What this processor can run, slowest first.
std::vector<const Kernels*> available_kernels();

// By name, or "auto" for the fastest. Throws std::invalid_argument naming those that there are.
const Kernels& choose_kernels(const std::string& name);

}  // namespace copytrace::network
