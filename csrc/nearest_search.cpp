#include "nearest_search.hpp"

#include <algorithm>
#include <limits>

#include "parallel.hpp"

namespace copytrace {

namespace {

struct Scored {
  float score;
  std::uint32_t row;
};

// Rows of one block that may be among the k nearest of one query, by scores in float32: the k best, and all that
// rounding could have put behind them.
class Shortlist {
 public:
  Shortlist(std::size_t k, const References& references, double query_square, float& threshold)
      : k_(k),
        full_(k + std::max<std::size_t>(k / 2, 32)),
        references_(&references),
        square_(query_square),
        threshold_(&threshold) {}

  void add(float score, std::size_t row) {
    rows_.push_back({score, static_cast<std::uint32_t>(row)});
    if (rows_.size() >= full_) trim();
  }

  const std::vector<Scored>& rows() {
    trim();
    return rows_;
  }

 private:
  void trim() {
    if (rows_.size() < k_) return;
    const auto last = rows_.begin() + static_cast<std::ptrdiff_t>(k_ - 1);
    std::nth_element(rows_.begin(), last, rows_.end(),
                     [](const Scored& a, const Scored& b) { return a.score > b.score; });
    const float threshold = std::max(*threshold_, references_->threshold_beside(square_, last->score));
    *threshold_ = threshold;
    rows_.erase(std::remove_if(rows_.begin() + static_cast<std::ptrdiff_t>(k_), rows_.end(),
                               [&](const Scored& other) { return other.score <= threshold; }),
                rows_.end());
    full_ = std::max(full_, rows_.size() + rows_.size() / 4);
  }

  std::size_t k_;
  std::size_t full_;
  const References* references_;
  double square_;
  float* threshold_;
  std::vector<Scored> rows_;
};

}  // namespace

NearestSearch::NearestSearch(const float* queries, std::size_t count, std::size_t size, std::size_t k)
    : data_(queries, queries + count * size),
      queries_(data_.data(), count, size),
      k_(k),
      best_(count, NearestK<RankedNeighbour>(k)) {}

template <typename Found>
void NearestSearch::search(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                           const TileKernel& kernel, const Found& found) const {
  std::vector<float> thresholds(end - begin, -std::numeric_limits<float>::infinity());
  std::vector<Shortlist> shortlists;
  shortlists.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    const double square = queries_.squares[i];
    float& threshold = thresholds[i - begin];
    if (best_[i].full()) threshold = block.references.threshold(square, best_[i].last().distance);
    shortlists.emplace_back(k_, block.references, square, threshold);
  }
  block.references.propose(queries_, begin, end, panels, thresholds.data(), kernel,
                           [&](std::size_t query, std::size_t row, float score) {
                             if (block.alive != nullptr && block.alive[row] == 0) return;
                             shortlists[query - begin].add(score, row);
                           });
  for (std::size_t i = begin; i < end; ++i) {
    const std::vector<Scored>& rows = shortlists[i - begin].rows();
    for (std::size_t j = 0; j < rows.size(); ++j) {
      if (j + 2 < rows.size()) prefetch_share(block.references.row(rows[j + 2].row), size(), 0, 1);
      const std::size_t row = rows[j].row;
      const double distance = kernel.squared_distance(queries_.row(i), block.references.row(row), size());
      found(i, RankedNeighbour{distance, block.ranks[row], block.first + static_cast<std::int64_t>(row)});
    }
  }
}

void NearestSearch::add(const References& block, std::int64_t first, const std::int64_t* ranks,
                        const std::uint8_t* alive, const TileKernel& kernel, std::size_t threads) {
  const std::lock_guard<std::mutex> lock(running_);
  const SearchGrid grid(queries_.count, block.panels(), kernel.rows, threads);
  const Block rows{block, first, ranks, alive};
  // Where several tasks share a query, what they find is gathered first.
  std::vector<std::vector<std::pair<std::size_t, RankedNeighbour>>> found(grid.parts() > 1 ? grid.tasks() : 0);
  parallel_blocks(grid.tasks(), 1, threads, [&](std::size_t task, std::size_t) {
    const std::size_t begin = grid.begin(task), end = grid.end(task);
    if (found.empty()) {
      search(rows, begin, end, grid.panels(task), kernel,
             [&](std::size_t query, const RankedNeighbour& neighbour) { best_[query].add(neighbour); });
      for (std::size_t i = begin; i < end; ++i) best_[i].trim();
    } else {
      search(rows, begin, end, grid.panels(task), kernel,
             [&](std::size_t query, const RankedNeighbour& neighbour) { found[task].emplace_back(query, neighbour); });
    }
  });
  for (const auto& part : found) {
    for (const auto& [query, neighbour] : part) best_[query].add(neighbour);
  }
  for (auto& best : best_) best.trim();
}

std::vector<FoundPair> NearestSearch::result() {
  const std::lock_guard<std::mutex> lock(running_);
  std::vector<FoundPair> pairs;
  for (std::size_t i = 0; i < best_.size(); ++i) {
    for (const RankedNeighbour& neighbour : best_[i].sorted()) {
      pairs.push_back({static_cast<std::int64_t>(i), neighbour.row, neighbour.distance});
    }
  }
  return pairs;
}

}  // namespace copytrace
