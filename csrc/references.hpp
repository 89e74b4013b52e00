// References ready to be searched by Euclidean distance. |q - r|^2 <= L where q.r - |r|^2 / 2 >= (|q|^2 - L) / 2: the
// scan proposes what may fulfil that, with a bound on its own rounding, and float64 decides.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "scan_tiles.hpp"
#include "scanned_rows.hpp"
#include "tile.hpp"

namespace copytrace {

// Queries as the caller holds them, with their squared lengths.
struct Queries {
  // Throws std::invalid_argument on NaN, infinite, or values whose squares leave float32.
  Queries(const float* data, std::size_t count, std::size_t size);

  const float* row(std::size_t index) const { return data + index * size; }

  const float* data;
  std::size_t count;
  std::size_t size;
  std::vector<double> squares;
};

struct FoundPair {
  std::int64_t query;
  std::int64_t row;
  double distance;  // squared
};

class References {
 public:
  // Copies `rows` [count, size]. Throws std::invalid_argument as for queries.
  References(const float* rows, std::size_t count, std::size_t size);

  std::size_t count() const { return rows_.count(); }
  std::size_t size() const { return rows_.size(); }
  std::size_t panels() const { return rows_.panels(); }
  const float* row(std::size_t index) const { return rows_.row(index); }

  // To be called before `propose`.
  void prepare(const TileKernel& kernel, std::size_t threads) const { rows_.prepare(kernel, threads); }

  // What a row's score for this query exceeds wherever their squared distance is at most `limit`.
  float threshold(double query_square, double limit) const;

  // The same where a row may be among those whose score, as computed, is at least `score`.
  float threshold_beside(double query_square, float score) const;

  // Calls hit(query, row, score) for queries begin <= query < end wherever score > thresholds[query - begin], the score
  // being computed in float32. A hit may raise the threshold.
  template <typename Hit>
  void propose(const Queries& queries, std::size_t begin, std::size_t end, Panels panels, const float* thresholds,
               const TileKernel& kernel, const Hit& hit) const {
    const float* data = queries.row(begin);
    const std::size_t count = end - begin;
    if (rows_.filtered_by(kernel)) {
      const QuantisedGroups left(data, count, size(), kernel.rows);
      filter_tiles(left, count, rows_, panels, kernel, thresholds, [&](std::size_t query, std::size_t row) {
        const float score = kernel.dot(data + query * size(), this->row(row), size()) - rows_.offset(row);
        if (score > thresholds[query]) hit(begin + query, row, score);
      });
    } else {
      const PackedRows left(data, count, size(), kernel.rows);
      scan_tiles(left, rows_, panels, kernel, thresholds,
                 [&](std::size_t query, std::size_t row, float score) { hit(begin + query, row, score); });
    }
  }

  // All pairs whose squared distance is at most the limit of their query (`limits` [queries]), in no order, of the rows
  // that `alive` [count] marks (null: all). Nothing when there are more than `most`.
  std::optional<std::vector<FoundPair>> within(const Queries& queries, const double* limits, std::size_t most,
                                               const std::uint8_t* alive, const TileKernel& kernel,
                                               std::size_t threads) const;

 private:
  References(const float* rows, std::size_t count, std::size_t size, const std::vector<double>& squares);

  // Bound on the error of a squared distance computed as |q|^2 - 2 score.
  double rounding(double query_square) const;

  ScannedRows rows_;
  double longest_square_;
};

// How a search is shared out: blocks of queries, and where they are too few for all threads, parts of the references.
class SearchGrid {
 public:
  SearchGrid(std::size_t queries, std::size_t panels, std::size_t tile_rows, std::size_t threads);

  std::size_t parts() const { return parts_; }
  std::size_t tasks() const { return blocks_ * parts_; }
  std::size_t begin(std::size_t task) const { return task / parts_ * block_; }
  std::size_t end(std::size_t task) const { return std::min(queries_, begin(task) + block_); }
  Panels panels(std::size_t task) const {
    return {panels_ * (task % parts_) / parts_, panels_ * (task % parts_ + 1) / parts_};
  }

 private:
  std::size_t queries_;
  std::size_t panels_;
  std::size_t block_;
  std::size_t blocks_;
  std::size_t parts_;
};

}  // namespace copytrace
