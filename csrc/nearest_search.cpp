#include "nearest_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "parallel.hpp"

namespace copytrace {

namespace {

constexpr float kNone = -std::numeric_limits<float>::infinity();  // a threshold that all scores exceed
constexpr std::size_t kSampleStep = 16;                           // one panel in so many is looked at for a first guess

}  // namespace

NearestSearch::NearestSearch(const float* queries, std::size_t count, std::size_t size, std::size_t k)
    : data_(queries, queries + count * size),
      queries_(data_.data(), count, size),
      k_(k),
      best_(count, NearestK<RankedNeighbour>(k)) {}

std::vector<Shortlist> NearestSearch::shortlist(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                                                std::size_t k, std::vector<float>& thresholds,
                                                const TileKernel& kernel) const {
  std::vector<Shortlist> lists;
  lists.reserve(end - begin);
  for (std::size_t i = begin; i < end; ++i) {
    lists.emplace_back(k, block.references, queries_.squares[i], thresholds[i - begin]);
  }
  block.references.propose(queries_, begin, end, panels, thresholds.data(), kernel,
                           [&](std::size_t query, std::size_t row, float score) {
                             if (block.alive == nullptr || block.alive[row] != 0) lists[query - begin].add(score, row);
                           });
  for (Shortlist& list : lists) list.trim();
  return lists;
}

std::vector<float> NearestSearch::guess(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                                        const TileKernel& kernel) const {
  std::vector<float> thresholds(end - begin, kNone);
  const std::size_t rows = (panels.end - panels.begin) * kPanelRows;
  if (rows / 32 < k_ + kSampleStep) return thresholds;
  // Four standard deviations more than expected: too few queries have an unlucky sample to matter.
  const double expected = static_cast<double>(k_) / kSampleStep;
  const auto wanted = static_cast<std::size_t>(expected + 4.0 * std::sqrt(expected)) + 1;
  shortlist(block, begin, end, {panels.begin, panels.end, kSampleStep}, wanted, thresholds, kernel);
  return thresholds;
}

std::vector<Shortlist> NearestSearch::first_shortlist(const Block& block, std::size_t begin, std::size_t end,
                                                      Panels panels, std::vector<float>& thresholds,
                                                      const TileKernel& kernel) const {
  thresholds = guess(block, begin, end, panels, kernel);
  std::vector<Shortlist> lists = shortlist(block, begin, end, panels, k_, thresholds, kernel);
  // Where the guess was too high, once more and without one; the others, which no score exceeds any more, stay.
  std::vector<float> again(end - begin, -kNone);
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (lists[i].rows().size() < k_ && thresholds[i] > kNone) again[i] = kNone;
  }
  if (std::count(again.begin(), again.end(), kNone) > 0) {
    std::vector<Shortlist> second = shortlist(block, begin, end, panels, k_, again, kernel);
    for (std::size_t i = 0; i < lists.size(); ++i) {
      if (second[i].rows().size() > lists[i].rows().size()) lists[i] = std::move(second[i]);
    }
  }
  return lists;
}

template <typename Found>
void NearestSearch::search(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                           const TileKernel& kernel, const Found& found) const {
  std::vector<float> thresholds(end - begin);
  std::vector<Shortlist> lists;
  if (best_[begin].full()) {  // all are, or none is: they have seen the same rows
    for (std::size_t i = begin; i < end; ++i) {
      thresholds[i - begin] = block.references.threshold(queries_.squares[i], best_[i].last().distance);
    }
    lists = shortlist(block, begin, end, panels, k_, thresholds, kernel);
  } else {
    lists = first_shortlist(block, begin, end, panels, thresholds, kernel);
  }
  for (std::size_t i = begin; i < end; ++i) {
    const std::vector<Scored>& rows = lists[i - begin].rows();
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
  block.prepare(kernel, threads);
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

std::size_t NearestSearch::found() const {
  std::size_t total = 0;
  for (const auto& best : best_) total += best.kept().size();
  return total;
}

void NearestSearch::result(std::int64_t* queries, std::int64_t* rows, double* distances, std::size_t threads) {
  const std::lock_guard<std::mutex> lock(running_);
  std::vector<std::size_t> first(best_.size() + 1, 0);
  for (std::size_t i = 0; i < best_.size(); ++i) first[i + 1] = first[i] + best_[i].kept().size();
  parallel_blocks(best_.size(), 64, threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      std::size_t place = first[i];
      for (const RankedNeighbour& neighbour : best_[i].sorted()) {
        queries[place] = static_cast<std::int64_t>(i);
        rows[place] = neighbour.row;
        distances[place++] = neighbour.distance;
      }
    }
  });
}

}  // namespace copytrace
