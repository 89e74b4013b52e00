// Projection and query normalisation, as Python sees them.
#include <memory>
#include <string>

#include "arrays.hpp"
#include "bank.hpp"
#include "describe.hpp"
#include "dispatch.hpp"
#include "projection.hpp"

namespace copytrace {

namespace {

std::unique_ptr<Projection> make_projection(const py::array& mean, const py::array& components,
                                            const py::array& eigenvalues) {
  const RowsView rows = rows_of(components, "components");
  const float* means = column_of<float>(mean, rows.size, "mean (for components [D, E])");
  const float* values = column_of<float>(eigenvalues, rows.count, "eigenvalues (for components [D, E])");
  const WithoutGil release;
  return std::make_unique<Projection>(means, rows.data, values, rows.size, rows.count);
}

FloatArray project(const Projection& self, const py::array& raw, py::ssize_t threads, const std::string& isa) {
  const RowsView rows = rows_of(raw, "raw", self.inputs());
  const std::size_t workers = positive(threads, "threads");
  FloatArray out = empty(rows.count, self.outputs());
  float* target = out.mutable_data();
  const WithoutGil release;
  self.apply(rows.data, rows.count, target, choose_kernel(isa), workers);
  return out;
}

std::unique_ptr<Bank> make_bank(const py::array& array) {
  const RowsView rows = rows_of(array, "bank");
  const WithoutGil release;
  return std::make_unique<Bank>(rows.data, rows.count, rows.size);
}

py::tuple nearest(const Bank& self, const py::array& queries, py::ssize_t k, py::ssize_t threads,
                  const std::string& isa) {
  const RowsView rows = rows_of(queries, "queries", self.size());
  const std::size_t wanted = positive(k, "k");
  const std::size_t workers = positive(threads, "threads");
  self.check_k(wanted);
  FloatArray cosines = empty(rows.count, wanted);
  py::array_t<std::int64_t> indices({static_cast<py::ssize_t>(rows.count), k});
  float* cosine_data = cosines.mutable_data();
  std::int64_t* index_data = indices.mutable_data();
  {
    const WithoutGil release;
    self.nearest(rows.data, rows.count, wanted, cosine_data, index_data, choose_kernel(isa), workers);
  }
  return py::make_tuple(cosines, indices);
}

Normalisation normalisation(int method, float beta, py::ssize_t cosines, py::ssize_t directions) {
  return {method, beta, positive(cosines, "cosines"), positive(directions, "directions")};
}

FloatArray normalise(const Bank& self, const py::array& queries, int method, float beta, py::ssize_t cosines,
                     py::ssize_t directions, py::ssize_t threads, const std::string& isa) {
  const RowsView rows = rows_of(queries, "queries", self.size());
  const Normalisation how = normalisation(method, beta, cosines, directions);
  const std::size_t workers = positive(threads, "threads");
  FloatArray out = empty(rows.count, rows.size);
  float* target = out.mutable_data();
  const WithoutGil release;
  self.normalise(rows.data, rows.count, how, target, choose_kernel(isa), workers);
  return out;
}

py::array_t<double> background_scores(const Bank& self, const py::array& queries, py::ssize_t n, py::ssize_t threads,
                                      const std::string& isa) {
  const RowsView rows = rows_of(queries, "queries", self.size());
  const std::size_t wanted = positive(n, "n");
  const std::size_t workers = positive(threads, "threads");
  py::array_t<double> means(static_cast<py::ssize_t>(rows.count));
  double* target = means.mutable_data();
  const WithoutGil release;
  self.background_scores(rows.data, rows.count, wanted, target, choose_kernel(isa), workers);
  return means;
}

FloatArray project_and_normalise(const Projection& projection, const Bank& bank, const py::array& raw, int method,
                                 float beta, py::ssize_t cosines, py::ssize_t directions, py::ssize_t threads,
                                 const std::string& isa) {
  const RowsView rows = rows_of(raw, "raw", projection.inputs());
  const Normalisation how = normalisation(method, beta, cosines, directions);
  const std::size_t workers = positive(threads, "threads");
  FloatArray out = empty(rows.count, projection.outputs());
  float* target = out.mutable_data();
  const WithoutGil release;
  describe_queries(projection, bank, rows.data, rows.count, how, target, choose_kernel(isa), workers);
  return out;
}

}  // namespace

void bind_describe(py::module_& module) {
  const auto threads = py::arg("threads") = 1;
  const auto isa = py::arg("isa") = "auto";
  py::class_<Projection>(module, "Projection")
      .def(py::init(&make_projection), py::arg("mean"), py::arg("components"), py::arg("eigenvalues"))
      .def_property_readonly("inputs", &Projection::inputs)
      .def_property_readonly("outputs", &Projection::outputs)
      .def("apply", &project, "raw float32 [N, E] -> unit-length descriptors float32 [N, D].", py::arg("raw"),
           py::kw_only(), threads, isa);
  py::class_<Bank>(module, "Bank")
      .def(py::init(&make_bank), py::arg("rows"))
      .def("nearest", &nearest, "queries float32 [N, D] -> cosines float32 [N, k], rows int64 [N, k], best first.",
           py::arg("queries"), py::arg("k"), py::kw_only(), threads, isa)
      .def("normalise", &normalise, "queries float32 [N, D] -> moved queries float32 [N, D], not normalised again.",
           py::arg("queries"), py::kw_only(), py::arg("method"), py::arg("beta"), py::arg("cosines") = 3,
           py::arg("directions") = 100, threads, isa)
      .def("background_scores", &background_scores,
           "queries float32 [N, D] -> float64 [N], mean of -(squared distance) to the n nearest rows.",
           py::arg("queries"), py::arg("n"), py::kw_only(), threads, isa);
  module.def("describe_queries", &project_and_normalise,
             "raw float32 [N, E] -> projected and moved queries float32 [N, D].", py::arg("projection"),
             py::arg("bank"), py::arg("raw"), py::kw_only(), py::arg("method"), py::arg("beta"), py::arg("cosines") = 3,
             py::arg("directions") = 100, threads, isa);
}

}  // namespace copytrace
