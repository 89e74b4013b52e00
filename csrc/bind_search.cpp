// Exact search by Euclidean distance, as Python sees it.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "nearest_search.hpp"
#include "pair_distances.hpp"
#include "references.hpp"

namespace copytrace {

namespace {

std::unique_ptr<References> make_references(const py::array& array) {
  const RowsView rows = rows_of(array, "rows");
  const WithoutGil release;
  return std::make_unique<References>(rows.data, rows.count, rows.size);
}

FloatArray rows_between(const References& self, py::ssize_t begin, py::ssize_t end) {
  if (begin < 0 || end < begin || static_cast<std::size_t>(end) > self.count()) {
    throw std::invalid_argument("begin and end must lie within the rows");
  }
  const auto count = static_cast<std::size_t>(end - begin);
  FloatArray out = empty(count, self.size());
  if (count > 0) {
    std::copy_n(self.row(static_cast<std::size_t>(begin)), count * self.size(), out.mutable_data());
  }
  return out;
}

const std::uint8_t* alive_of(const std::optional<py::array>& alive, std::size_t count) {
  return alive ? reinterpret_cast<const std::uint8_t*>(column_of<bool>(*alive, count, "alive")) : nullptr;
}

using LimitArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

// One limit for all queries, or one for each.
std::vector<double> limits_of(const LimitArray& limit, std::size_t count) {
  const double* first = limit.ndim() == 0 ? nullptr : column_of<double>(limit, count, "limit");
  const std::vector<double> limits =
      first == nullptr ? std::vector<double>(count, *limit.data()) : std::vector<double>(first, first + count);
  if (std::any_of(limits.begin(), limits.end(), [](double x) { return std::isnan(x); })) {
    throw std::invalid_argument("limit must be a number, not NaN");
  }
  return limits;
}

py::tuple columns(const std::vector<FoundPair>& found) {
  const auto size = static_cast<py::ssize_t>(found.size());
  py::array_t<std::int64_t> queries(size), rows(size);
  py::array_t<double> distances(size);
  std::int64_t* query = queries.mutable_data();
  std::int64_t* row = rows.mutable_data();
  double* distance = distances.mutable_data();
  {
    const WithoutGil release;
    for (std::size_t i = 0; i < found.size(); ++i) {
      query[i] = found[i].query;
      row[i] = found[i].row;
      distance[i] = found[i].distance;
    }
  }
  return py::make_tuple(queries, rows, distances);
}

py::object within(const References& self, const py::array& queries, const LimitArray& limit,
                  std::optional<py::ssize_t> most, const std::optional<py::array>& alive, py::ssize_t threads,
                  const std::string& isa) {
  const RowsView rows = rows_of(queries, "queries", self.size());
  const std::uint8_t* mask = alive_of(alive, self.count());
  const std::size_t workers = positive(threads, "threads");
  const std::vector<double> limits = limits_of(limit, rows.count);
  const std::size_t bound = most ? positive(*most, "most") : std::numeric_limits<std::size_t>::max();
  std::optional<std::vector<FoundPair>> found;
  {
    const WithoutGil release;
    const Queries checked(rows.data, rows.count, rows.size);
    found = self.within(checked, limits.data(), bound, mask, choose_kernel(isa), workers);
  }
  return found ? py::object(columns(*found)) : py::none();
}

std::unique_ptr<NearestSearch> make_nearest(const py::array& queries, py::ssize_t k) {
  const RowsView rows = rows_of(queries, "queries");
  const std::size_t wanted = positive(k, "k");
  const WithoutGil release;
  return std::make_unique<NearestSearch>(rows.data, rows.count, rows.size, wanted);
}

void add(NearestSearch& self, const References& references, py::ssize_t first, const py::array& ranks,
         const std::optional<py::array>& alive, py::ssize_t threads, const std::string& isa) {
  if (references.size() != self.size()) throw std::invalid_argument("queries and references differ in columns");
  const std::int64_t* order = column_of<std::int64_t>(ranks, references.count(), "ranks");
  const std::uint8_t* mask = alive_of(alive, references.count());
  const std::size_t workers = positive(threads, "threads");
  const WithoutGil release;
  self.add(references, first, order, mask, choose_kernel(isa), workers);
}

py::tuple result(NearestSearch& self, py::ssize_t threads) {
  const std::size_t workers = positive(threads, "threads");
  std::size_t count = 0;
  {
    const WithoutGil release;
    count = self.found();
  }
  const auto size = static_cast<py::ssize_t>(count);
  py::array_t<std::int64_t> queries(size), rows(size);
  py::array_t<double> distances(size);
  std::int64_t* query_data = queries.mutable_data();
  std::int64_t* row_data = rows.mutable_data();
  double* distance_data = distances.mutable_data();
  {
    const WithoutGil release;
    self.result(count, query_data, row_data, distance_data, workers);
  }
  return py::make_tuple(queries, rows, distances);
}

py::array_t<double> distances_of(const py::array& queries, const py::array& rows, const py::array& query,
                                 const py::array& row, py::ssize_t threads) {
  const RowsView left = rows_of(queries, "queries");
  const RowsView right = rows_of(rows, "rows", left.size);
  const auto count = static_cast<std::size_t>(query.size());
  const std::int64_t* query_data = column_of<std::int64_t>(query, count, "query");
  const std::int64_t* row_data = column_of<std::int64_t>(row, count, "row");
  const std::size_t workers = positive(threads, "threads");
  py::array_t<double> out(static_cast<py::ssize_t>(count));
  double* data = out.mutable_data();
  const WithoutGil release;
  pair_distances({left.data, left.count, right.data, right.count, left.size}, query_data, row_data, count, data,
                 workers);
  return out;
}

}  // namespace

void bind_search(py::module_& module) {
  const auto threads = py::arg("threads") = 1;
  const auto isa = py::arg("isa") = "auto";
  const auto alive = py::arg("alive") = py::none();
  py::class_<References>(module, "References")
      .def(py::init(&make_references), py::arg("rows"))
      .def("__len__", &References::count)
      .def("rows", &rows_between, "A copy of rows begin <= row < end, float32 [end - begin, D].", py::arg("begin"),
           py::arg("end"))
      .def("within", &within,
           "queries float32 [N, D] -> queries int64 [P], rows int64 [P], squared distances float64 [P] of all pairs "
           "with a squared distance of at most `limit` (one, or float64 [N]), in no order; None when there are "
           "more than `most`. Rows that `alive` (bool [M]) does not mark are left out.",
           py::arg("queries"), py::arg("limit"), py::kw_only(), py::arg("most") = py::none(), alive, threads, isa);
  py::class_<NearestSearch>(module, "NearestSearch")
      .def(py::init(&make_nearest), py::arg("queries"), py::arg("k"))
      .def("add", &add, "Searches a block of references numbered from `first`; ranks int64 [M] order equal distances.",
           py::arg("references"), py::arg("first"), py::arg("ranks"), py::kw_only(), alive, threads, isa)
      .def("result", &result,
           "queries int64 [P], rows int64 [P], squared distances float64 [P], ordered by query, distance and rank.",
           py::kw_only(), threads);
  module.def(
      "pair_distances", &distances_of,
      "Squared distances float64 [P] of the pairs (query[i], row[i]), int64 [P] each, of float32 [N, D] and [M, D].",
      py::arg("queries"), py::arg("rows"), py::arg("query"), py::arg("row"), py::kw_only(), threads);
}

}  // namespace copytrace
