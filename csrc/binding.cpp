// The module itself. Only the bind_*.cpp files know Python: they check arrays, release the GIL and call the algorithms.
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "arrays.hpp"
#include "dispatch.hpp"

namespace {

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const copytrace::TileKernel* kernel : copytrace::available_kernels()) names.emplace_back(kernel->name);
  return names;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The native core: projection, query normalisation against a bank, and exact search.";
  // What a kernel's table is made of on first use is made now: a process forked amid that would wait for it for ever.
  copytrace::available_kernels();
  module.def("instruction_sets", &instruction_sets, "Instruction sets this processor can run, slowest first.");
  copytrace::bind_describe(module);
  copytrace::bind_search(module);
}
