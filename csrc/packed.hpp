// Rows laid out for the tile kernel: groups of rows, transposed, so that one load brings the same column of several
// rows.
#pragma once
#include <cstddef>
#include <memory>

namespace copytrace {

class PackedRows {
 public:
  // Copies `rows` x `depth` floats in groups of `group` rows, each row multiplied by its `scale` (null: 1); the last
  // group is filled up with rows of zeros.
  PackedRows(const float* data, std::size_t rows, std::size_t depth, std::size_t group, const float* scale = nullptr);

  std::size_t rows() const { return rows_; }
  std::size_t depth() const { return depth_; }
  std::size_t groups() const { return (rows_ + group_ - 1) / group_; }
  const float* group(std::size_t index) const { return data_.get() + index * depth_ * group_; }

 private:
  struct Free {
    void operator()(float* pointer) const;
  };
  std::size_t rows_;
  std::size_t depth_;
  std::size_t group_;
  std::unique_ptr<float[], Free> data_;
};

}  // namespace copytrace
