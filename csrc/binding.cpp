// The only file that knows Python: checks arrays, releases the GIL, calls the algorithms.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bank.hpp"
#include "dispatch.hpp"
#include "parallel.hpp"
#include "projection.hpp"
#include "scan.hpp"
#include "scan_tiles.hpp"

namespace py = pybind11;
using namespace copytrace;

namespace {

using FloatArray = py::array_t<float>;

struct Rows {
  const float* data;
  std::size_t count;
  std::size_t size;
};

void check(const py::array& array, int dimensions, const std::string& name) {
  if (!py::isinstance<FloatArray>(array)) {
    throw std::invalid_argument(name + " must be float32, not " + py::str(array.dtype()).cast<std::string>() +
                                "; call .astype(numpy.float32)");
  }
  if (array.ndim() != dimensions) {
    throw std::invalid_argument(name + " must have " + std::to_string(dimensions) + " dimension(s), not " +
                                std::to_string(array.ndim()));
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw std::invalid_argument(name + " must be C-contiguous; call numpy.ascontiguousarray");
  }
}

Rows rows_of(const py::array& array, const std::string& name) {
  check(array, 2, name);
  return {static_cast<const float*>(array.data()), static_cast<std::size_t>(array.shape(0)),
          static_cast<std::size_t>(array.shape(1))};
}

Rows rows_of(const py::array& array, const std::string& name, std::size_t size) {
  const Rows rows = rows_of(array, name);
  if (rows.size != size) {
    throw std::invalid_argument(name + " must have " + std::to_string(size) + " columns, not " +
                                std::to_string(rows.size));
  }
  return rows;
}

std::size_t positive(py::ssize_t value, const std::string& name) {
  if (value < 1) throw std::invalid_argument(name + " must be at least 1");
  return static_cast<std::size_t>(value);
}

FloatArray empty(std::size_t rows, std::size_t columns) {
  return FloatArray({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(columns)});
}

Projection make_projection(const py::array& mean, const py::array& components, const py::array& eigenvalues) {
  const Rows rows = rows_of(components, "components");
  check(mean, 1, "mean");
  check(eigenvalues, 1, "eigenvalues");
  if (static_cast<std::size_t>(mean.shape(0)) != rows.size ||
      static_cast<std::size_t>(eigenvalues.shape(0)) != rows.count) {
    throw std::invalid_argument("components [D, E] needs mean [E] and eigenvalues [D]");
  }
  return Projection(static_cast<const float*>(mean.data()), rows.data, static_cast<const float*>(eigenvalues.data()),
                    rows.size, rows.count);
}

FloatArray project(const Projection& self, const py::array& raw, py::ssize_t threads, const std::string& isa) {
  const Rows rows = rows_of(raw, "raw", self.inputs());
  const std::size_t workers = positive(threads, "threads");
  FloatArray out = empty(rows.count, self.outputs());
  float* target = out.mutable_data();
  const py::gil_scoped_release release;
  self.apply(rows.data, rows.count, target, choose_kernel(isa), workers);
  return out;
}

// The bank beside the array it reads, so that the rows live as long as it does.
struct BankHolder {
  explicit BankHolder(const py::array& array) : rows(array), bank(view(array)) {}
  static Bank view(const py::array& array) {
    const Rows rows = rows_of(array, "bank");
    return Bank(rows.data, rows.count, rows.size);
  }
  py::array rows;
  Bank bank;
};

py::tuple nearest(const BankHolder& self, const py::array& queries, py::ssize_t k, py::ssize_t threads,
                  const std::string& isa) {
  const Rows rows = rows_of(queries, "queries", self.bank.size());
  const std::size_t wanted = positive(k, "k");
  const std::size_t workers = positive(threads, "threads");
  FloatArray cosines = empty(rows.count, wanted);
  py::array_t<std::int64_t> indices({static_cast<py::ssize_t>(rows.count), k});
  float* cosine_data = cosines.mutable_data();
  std::int64_t* index_data = indices.mutable_data();
  {
    const py::gil_scoped_release release;
    self.bank.nearest(rows.data, rows.count, wanted, cosine_data, index_data, choose_kernel(isa), workers);
  }
  return py::make_tuple(cosines, indices);
}

Normalisation normalisation(int method, float beta, py::ssize_t cosines, py::ssize_t directions) {
  return {method, beta, positive(cosines, "cosines"), positive(directions, "directions")};
}

FloatArray normalise(const BankHolder& self, const py::array& queries, int method, float beta, py::ssize_t cosines,
                     py::ssize_t directions, py::ssize_t threads, const std::string& isa) {
  const Rows rows = rows_of(queries, "queries", self.bank.size());
  const Normalisation how = normalisation(method, beta, cosines, directions);
  const std::size_t workers = positive(threads, "threads");
  FloatArray out = empty(rows.count, rows.size);
  float* target = out.mutable_data();
  const py::gil_scoped_release release;
  self.bank.normalise(rows.data, rows.count, how, target, choose_kernel(isa), workers);
  return out;
}

FloatArray describe_queries(const Projection& projection, const BankHolder& holder, const py::array& raw, int method,
                            float beta, py::ssize_t cosines, py::ssize_t directions, py::ssize_t threads,
                            const std::string& isa) {
  const Rows rows = rows_of(raw, "raw", projection.inputs());
  if (projection.outputs() != holder.bank.size()) {
    throw std::invalid_argument("the bank's columns must equal the projection's outputs");
  }
  const Normalisation how = normalisation(method, beta, cosines, directions);
  if (method != 1 && method != 2) throw std::invalid_argument("method must be 1 or 2");
  const std::size_t workers = positive(threads, "threads");
  const std::size_t size = projection.outputs();
  FloatArray out = empty(rows.count, size);
  float* target = out.mutable_data();
  const py::gil_scoped_release release;
  const TileKernel& kernel = choose_kernel(isa);
  const std::size_t block = rows_per_block(rows.count, kScanRows, kernel.rows, workers);
  parallel_blocks(rows.count, block, workers, [&](std::size_t begin, std::size_t end) {
    float* part = target + begin * size;
    projection.apply_block(rows.data + begin * rows.size, end - begin, part, kernel);
    holder.bank.normalise_block(part, end - begin, how, part, kernel);
  });
  return out;
}

Scan make_scan(const py::array& array) {
  const Rows rows = rows_of(array, "rows");
  return Scan(rows.data, rows.count, rows.size);
}

py::array_t<std::int64_t> scan_above(const Scan& self, const py::array& queries, const py::array& thresholds,
                                     py::ssize_t threads, const std::string& isa) {
  const Rows rows = rows_of(queries, "queries", self.size());
  check(thresholds, 1, "thresholds");
  if (static_cast<std::size_t>(thresholds.shape(0)) != rows.count) {
    throw std::invalid_argument("there must be one threshold for every query");
  }
  const std::size_t workers = positive(threads, "threads");
  const auto* limits = static_cast<const float*>(thresholds.data());
  std::vector<Pair> found;
  {
    const py::gil_scoped_release release;
    found = self.above(rows.data, rows.count, limits, choose_kernel(isa), workers);
  }
  py::array_t<std::int64_t> result({static_cast<py::ssize_t>(2), static_cast<py::ssize_t>(found.size())});
  auto out = result.mutable_unchecked<2>();
  for (std::size_t i = 0; i < found.size(); ++i) {
    out(0, static_cast<py::ssize_t>(i)) = found[i].query;
    out(1, static_cast<py::ssize_t>(i)) = found[i].row;
  }
  return result;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const TileKernel* kernel : available_kernels()) names.emplace_back(kernel->name);
  return names;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() =
      "The native core: projection, query normalisation against a bank, and the scan for pairs above a threshold.";
  const auto threads = py::arg("threads") = 1;
  const auto isa = py::arg("isa") = "auto";
  module.def("instruction_sets", &instruction_sets, "Instruction sets this processor can run, slowest first.");
  py::class_<Projection>(module, "Projection")
      .def(py::init(&make_projection), py::arg("mean"), py::arg("components"), py::arg("eigenvalues"))
      .def_property_readonly("inputs", &Projection::inputs)
      .def_property_readonly("outputs", &Projection::outputs)
      .def("apply", &project, "raw float32 [N, E] -> unit-length descriptors float32 [N, D].", py::arg("raw"),
           py::kw_only(), threads, isa);
  py::class_<BankHolder>(module, "Bank")
      .def(py::init<const py::array&>(), py::arg("rows"))
      .def("nearest", &nearest, "queries float32 [N, D] -> cosines float32 [N, k], rows int64 [N, k], best first.",
           py::arg("queries"), py::arg("k"), py::kw_only(), threads, isa)
      .def("normalise", &normalise, "queries float32 [N, D] -> moved queries float32 [N, D], not normalised again.",
           py::arg("queries"), py::kw_only(), py::arg("method"), py::arg("beta"), py::arg("cosines") = 3,
           py::arg("directions") = 100, threads, isa);
  py::class_<Scan>(module, "Scan")
      .def(py::init(&make_scan), py::arg("rows"))
      .def("above", &scan_above,
           "queries float32 [N, D], thresholds float32 [N] -> int64 [2, P]: query and row of every inner product above "
           "the query's threshold.",
           py::arg("queries"), py::arg("thresholds"), py::kw_only(), threads, isa);
  module.def("describe_queries", &describe_queries, "raw float32 [N, E] -> projected and moved queries float32 [N, D].",
             py::arg("projection"), py::arg("bank"), py::arg("raw"), py::kw_only(), py::arg("method"), py::arg("beta"),
             py::arg("cosines") = 3, py::arg("directions") = 100, threads, isa);
}
