// The only file of the matching core that knows Python: checks arrays, releases the GIL, calls the algorithms.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../parallel.hpp"
#include "../without_gil.hpp"
#include "dispatch.hpp"
#include "lists.hpp"
#include "quantiser.hpp"
#include "sift.hpp"
#include "verify.hpp"

namespace py = pybind11;
using namespace copytrace::match;

namespace {

constexpr py::ssize_t kLeastSide = 12, kMostSide = 4096;

template <typename T>
const T* checked(const py::array& array, py::ssize_t rows, py::ssize_t columns, const std::string& name) {
  if (!py::isinstance<py::array_t<T>>(array) || (array.flags() & py::array::c_style) == 0) {
    throw std::invalid_argument(name + " must be C-contiguous and of type " +
                                py::str(py::dtype::of<T>()).template cast<std::string>());
  }
  if (array.ndim() != 2 || array.shape(0) != rows || array.shape(1) != columns) {
    throw std::invalid_argument(name + " must have the shape [" + std::to_string(rows) + ", " +
                                std::to_string(columns) + "]");
  }
  return static_cast<const T*>(array.data());
}

std::size_t checked_threads(py::ssize_t threads) {
  if (threads < 1) throw std::invalid_argument("threads must be at least 1");
  return static_cast<std::size_t>(threads);
}

Features features_of(const py::array& descriptors, const py::array& keypoints, const std::string& whose) {
  const py::ssize_t count = descriptors.ndim() == 2 ? descriptors.shape(0) : 0;
  if (static_cast<std::size_t>(count) > kMostFeatures) {
    throw std::invalid_argument(whose + " has more than " + std::to_string(kMostFeatures) + " features");
  }
  return {checked<std::uint8_t>(descriptors, count, kDescriptor, "descriptors of the " + whose),
          checked<std::uint16_t>(keypoints, count, 4, "keypoints of the " + whose), static_cast<std::size_t>(count)};
}

Query make_query(const py::array& descriptors, const py::array& keypoints, const py::array& bins,
                 const std::string& isa) {
  const auto* order = checked<std::uint8_t>(bins, kVariants, kDescriptor, "bins");
  for (std::size_t i = 0; i < kVariants * kDescriptor; ++i) {
    if (order[i] >= kDescriptor) throw std::invalid_argument("bins must be below " + std::to_string(kDescriptor));
  }
  return Query(features_of(descriptors, keypoints, "query"), order, choose_instructions(isa).nearest);
}

// (inliers, variant, matches, rows int32 [M, 2] of query and reference, affine float64 [2, 3], spread)
py::tuple result(const Verified& found) {
  py::array_t<std::int32_t> rows({static_cast<py::ssize_t>(found.rows.size()), static_cast<py::ssize_t>(2)});
  auto cells = rows.mutable_unchecked<2>();
  for (std::size_t i = 0; i < found.rows.size(); ++i) {
    cells(static_cast<py::ssize_t>(i), 0) = found.rows[i].first;
    cells(static_cast<py::ssize_t>(i), 1) = found.rows[i].second;
  }
  py::array_t<double> affine({2, 3});
  std::copy(found.affine.begin(), found.affine.end(), affine.mutable_data());
  return py::make_tuple(found.inliers, found.variant, found.matches, rows, affine, found.spread);
}

std::vector<py::tuple> verify_many(const Query& self, const std::vector<std::pair<py::array, py::array>>& references,
                                   const Rules& rules, const std::optional<py::array>& others, py::ssize_t threads) {
  const std::size_t workers = checked_threads(threads);
  std::vector<Features> features;
  features.reserve(references.size());
  for (const auto& [descriptors, keypoints] : references) {
    features.push_back(features_of(descriptors, keypoints, "reference"));
  }
  const std::int32_t* distances =
      others ? checked<std::int32_t>(*others, kVariants, static_cast<py::ssize_t>(self.count()), "others") : nullptr;
  std::vector<Verified> found(features.size());
  {
    const copytrace::WithoutGil release;
    copytrace::parallel_blocks(features.size(), 1, workers, [&](std::size_t begin, std::size_t) {
      found[begin] = self.verify(features[begin], distances, rules);
    });
  }
  std::vector<py::tuple> results;
  results.reserve(found.size());
  for (const Verified& one : found) results.push_back(result(one));
  return results;
}

// Quantiser or Lists, which both are made of centroids.
template <typename T>
T made_of_centroids(const py::array& centroids, const std::string& isa) {
  const py::ssize_t count = centroids.ndim() == 2 ? centroids.shape(0) : 0;
  const auto* rows = checked<std::uint8_t>(centroids, count, kDescriptor, "centroids");
  if (count < 1) throw std::invalid_argument("there must be at least one centroid");
  return T(rows, static_cast<std::size_t>(count), choose_instructions(isa).nearest);
}

using Numbers = py::array_t<std::int64_t, py::array::c_style>;

void add_to_lists(Lists& self, const py::array& descriptors, const Numbers& numbers, py::ssize_t threads) {
  const py::ssize_t count = descriptors.ndim() == 2 ? descriptors.shape(0) : 0;
  const auto* rows = checked<std::uint8_t>(descriptors, count, kDescriptor, "descriptors");
  if (numbers.ndim() != 1 || numbers.size() != count) throw std::invalid_argument("numbers must be one for each row");
  const std::int64_t* first = numbers.data();
  if (std::any_of(first, first + count, [](std::int64_t number) { return number < 0; })) {
    throw std::invalid_argument("numbers must be 0 or more");
  }
  const std::size_t workers = checked_threads(threads);
  const copytrace::WithoutGil release;
  self.add(rows, first, static_cast<std::size_t>(count), workers);
}

std::size_t remove_from_lists(Lists& self, const Numbers& numbers) {
  std::vector<std::int64_t> gone(numbers.data(), numbers.data() + numbers.size());
  const copytrace::WithoutGil release;
  return self.remove(std::move(gone));
}

// (squared distances int32, numbers int64), [F, most] each
py::tuple nearest_in_lists(const Lists& self, const py::array& descriptors, py::ssize_t most, py::ssize_t threads) {
  const py::ssize_t count = descriptors.ndim() == 2 ? descriptors.shape(0) : 0;
  const auto* rows = checked<std::uint8_t>(descriptors, count, kDescriptor, "descriptors");
  if (most < 1) throw std::invalid_argument("most must be at least 1");
  const std::size_t workers = checked_threads(threads);
  py::array_t<std::int32_t> distances({count, most});
  py::array_t<std::int64_t> numbers({count, most});
  std::int32_t* distance = distances.mutable_data();
  std::int64_t* number = numbers.mutable_data();
  {
    const copytrace::WithoutGil release;
    self.nearest(rows, static_cast<std::size_t>(count), static_cast<std::size_t>(most), workers, distance, number);
  }
  return py::make_tuple(distances, numbers);
}

// (numbers, squared distances), int32 [F, 2] each
py::tuple nearest_centroids(const Quantiser& self, const py::array& descriptors, py::ssize_t threads) {
  const py::ssize_t count = descriptors.ndim() == 2 ? descriptors.shape(0) : 0;
  const auto* rows = checked<std::uint8_t>(descriptors, count, kDescriptor, "descriptors");
  const std::size_t workers = checked_threads(threads);
  py::array_t<std::int32_t> numbers({count, static_cast<py::ssize_t>(2)}),
      distances({count, static_cast<py::ssize_t>(2)});
  std::int32_t *number = numbers.mutable_data(), *distance = distances.mutable_data();
  {
    const copytrace::WithoutGil release;
    self.nearest(rows, static_cast<std::size_t>(count), workers, number, distance);
  }
  return py::make_tuple(numbers, distances);
}

std::vector<std::string> instruction_set_names() {
  std::vector<std::string> names;
  for (const InstructionSet& set : instruction_sets()) names.emplace_back(set.name);
  return names;
}

// (keypoints float64 [F, 4]: x, y, size, degrees; descriptors uint8 [F, 128])
py::tuple sift(const py::array& grey, std::size_t most, const std::string& isa) {
  const py::ssize_t height = grey.ndim() == 2 ? grey.shape(0) : 0, width = grey.ndim() == 2 ? grey.shape(1) : 0;
  const auto* pixels = checked<std::uint8_t>(grey, height, width, "grey");
  if (std::min(width, height) < kLeastSide || std::max(width, height) > kMostSide) {
    throw std::invalid_argument("grey must have " + std::to_string(kLeastSide) + " to " + std::to_string(kMostSide) +
                                " pixels across and down");
  }
  const InstructionSet set = choose_instructions(isa);
  SiftFeatures found;
  {
    const copytrace::WithoutGil release;
    found = extract_sift(pixels, static_cast<std::size_t>(width), static_cast<std::size_t>(height), most, set.sift);
  }
  const auto count = static_cast<py::ssize_t>(found.keypoints.size());
  py::array_t<double> keypoints({count, static_cast<py::ssize_t>(4)});
  py::array_t<std::uint8_t> descriptors({count, static_cast<py::ssize_t>(kDescriptor)});
  for (std::size_t i = 0; i < found.keypoints.size(); ++i) {
    std::copy(found.keypoints[i].begin(), found.keypoints[i].end(), keypoints.mutable_data() + 4 * i);
  }
  std::copy(found.descriptors.begin(), found.descriptors.end(), descriptors.mutable_data());
  return py::make_tuple(keypoints, descriptors);
}

}  // namespace

PYBIND11_MODULE(_match, module) {
  module.doc() = "The matching core: verification of pairs of pictures by their local features.";
  module.def("instruction_sets", &instruction_set_names, "Instruction sets this processor can run, slowest first.");
  module.def("sift", &sift,
             "A small grey picture uint8 [h, w] -> keypoints float64 [F, 4], descriptors uint8 [F, 128].",
             py::arg("grey"), py::arg("most"), py::arg("isa") = "auto");
  py::class_<Rules>(module, "Rules")
      .def(py::init([](double ratio, double place, double octaves, double turns, double stretch, double cell) {
             return Rules{ratio, place, octaves, turns, stretch, cell};
           }),
           py::kw_only(), py::arg("ratio"), py::arg("place"), py::arg("octaves"), py::arg("turns"), py::arg("stretch"),
           py::arg("cell"));
  py::class_<Quantiser>(module, "Quantiser")
      .def(py::init(&made_of_centroids<Quantiser>), py::arg("centroids"), py::arg("isa") = "auto")
      .def("nearest", &nearest_centroids,
           "Descriptors uint8 [F, 128] -> the two nearest centroids, int32 [F, 2], and their squared distances.",
           py::arg("descriptors"), py::kw_only(), py::arg("threads") = 1);
  py::class_<Lists>(module, "Lists")
      .def(py::init(&made_of_centroids<Lists>), py::arg("centroids"), py::arg("isa") = "auto")
      .def("__len__", &Lists::size)
      .def("add", &add_to_lists, "Adds descriptors uint8 [F, 128], each to the list of its nearest centroid.",
           py::arg("descriptors"), py::arg("numbers"), py::kw_only(), py::arg("threads") = 1)
      .def("remove", &remove_from_lists, "Forgets rows by their numbers; how many there were.", py::arg("numbers"))
      .def("nearest", &nearest_in_lists,
           "Descriptors uint8 [F, 128] -> squared distances int32 [F, most] and numbers int64 [F, most] of the nearest "
           "rows in two lists.",
           py::arg("descriptors"), py::arg("most"), py::kw_only(), py::arg("threads") = 1);
  py::class_<Query>(module, "Query")
      .def(py::init(&make_query), py::arg("descriptors"), py::arg("keypoints"), py::arg("bins"),
           py::arg("isa") = "auto")
      .def("verify_many", &verify_many,
           "References (descriptors uint8 [F, 128], keypoints uint16 [F, 4]) -> for each (inliers, variant, matches, "
           "rows int32 [M, 2], affine float64 [2, 3], spread).",
           py::arg("references"), py::kw_only(), py::arg("rules"), py::arg("others") = py::none(),
           py::arg("threads") = 1);
}
