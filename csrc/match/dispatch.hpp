// Which instruction set runs: the best one the processor has, or the one asked for by name.
#pragma once
#include <string>
#include <vector>

#include "nearest.hpp"
#include "sift_kernel.hpp"

namespace copytrace::match {

struct InstructionSet {
  const char* name;
  const NearestKernel& nearest;
  const SiftKernel& sift;
};

// What this processor can run, slowest first.
std::vector<InstructionSet> instruction_sets();

// By name, or "auto" for the fastest. Throws std::invalid_argument naming those that there are.
InstructionSet choose_instructions(const std::string& name);

}  // namespace copytrace::match
