// What the binding files share: numpy arrays checked on the way in, made on the way out.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "without_gil.hpp"

namespace copytrace {

namespace py = pybind11;

// Every family of algorithms has one binding file, and that file one of these.
void bind_describe(py::module_& module);
void bind_search(py::module_& module);

using FloatArray = py::array_t<float>;

struct RowsView {
  const float* data;
  std::size_t count;
  std::size_t size;
};

template <typename Value>
void check(const py::array& array, int dimensions, const std::string& name) {
  const py::dtype wanted = py::dtype::of<Value>();
  if (!py::isinstance<py::array_t<Value>>(array)) {
    const auto type = py::str(wanted).cast<std::string>();
    throw std::invalid_argument(name + " must be " + type + ", not " + py::str(array.dtype()).cast<std::string>() +
                                "; call .astype(numpy." + type + ")");
  }
  if (array.ndim() != dimensions) {
    throw std::invalid_argument(name + " must have " + std::to_string(dimensions) + " dimension(s), not " +
                                std::to_string(array.ndim()));
  }
  if ((array.flags() & py::array::c_style) == 0) {
    throw std::invalid_argument(name + " must be C-contiguous; call numpy.ascontiguousarray");
  }
}

inline RowsView rows_of(const py::array& array, const std::string& name) {
  check<float>(array, 2, name);
  return {static_cast<const float*>(array.data()), static_cast<std::size_t>(array.shape(0)),
          static_cast<std::size_t>(array.shape(1))};
}

inline RowsView rows_of(const py::array& array, const std::string& name, std::size_t size) {
  const RowsView rows = rows_of(array, name);
  if (rows.size != size) {
    throw std::invalid_argument(name + " must have " + std::to_string(size) + " columns, not " +
                                std::to_string(rows.size));
  }
  return rows;
}

template <typename Value>
const Value* column_of(const py::array& array, std::size_t size, const std::string& name) {
  check<Value>(array, 1, name);
  if (static_cast<std::size_t>(array.shape(0)) != size) {
    throw std::invalid_argument(name + " must have " + std::to_string(size) + " values, not " +
                                std::to_string(array.shape(0)));
  }
  return static_cast<const Value*>(array.data());
}

inline std::size_t positive(py::ssize_t value, const std::string& name) {
  if (value < 1) throw std::invalid_argument(name + " must be at least 1");
  return static_cast<std::size_t>(value);
}

inline FloatArray empty(std::size_t rows, std::size_t columns) {
  return FloatArray({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(columns)});
}

}  // namespace copytrace
