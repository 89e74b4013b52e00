#include "nearest_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
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

std::vector<std::vector<Scored>> NearestSearch::shortlist(const Block& block, std::size_t begin, std::size_t end,
                                                          Panels panels, std::size_t k, std::vector<float>& thresholds,
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
  std::vector<std::vector<Scored>> rows;
  rows.reserve(lists.size());
  for (Shortlist& list : lists) rows.push_back(list.take());
  return rows;
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

std::vector<std::vector<Scored>> NearestSearch::first_shortlist(const Block& block, std::size_t begin, std::size_t end,
                                                                Panels panels, const TileKernel& kernel) const {
  const std::vector<float> guessed = guess(block, begin, end, panels, kernel);
  std::vector<float> thresholds = guessed;
  std::vector<std::vector<Scored>> lists = shortlist(block, begin, end, panels, k_, thresholds, kernel);
  // A guess was low enough where the k rows found, and all that rounding may have put behind them, lie above it: they
  // have raised the threshold. The other queries once more, without a guess; no score exceeds the limit of the rest.
  std::vector<float> again(end - begin, -kNone);
  for (std::size_t i = 0; i < lists.size(); ++i) {
    if (guessed[i] > kNone && thresholds[i] == guessed[i]) again[i] = kNone;
  }
  if (std::count(again.begin(), again.end(), kNone) > 0) {
    std::vector<std::vector<Scored>> second = shortlist(block, begin, end, panels, k_, again, kernel);
    for (std::size_t i = 0; i < lists.size(); ++i) {
      if (!second[i].empty()) lists[i] = std::move(second[i]);
    }
  }
  return lists;
}

template <typename Found>
void NearestSearch::search(const Block& block, std::size_t begin, std::size_t end, Panels panels,
                           const TileKernel& kernel, const Found& found) const {
  std::vector<std::vector<Scored>> lists;
  if (best_[begin].full()) {  // all are, or none is: they have seen the same rows
    std::vector<float> thresholds(end - begin);
    for (std::size_t i = begin; i < end; ++i) {
      thresholds[i - begin] = block.references.threshold(queries_.squares[i], best_[i].last().distance);
    }
    lists = shortlist(block, begin, end, panels, k_, thresholds, kernel);
  } else {
    lists = first_shortlist(block, begin, end, panels, kernel);
  }
  for (std::size_t i = begin; i < end; ++i) {
    const std::vector<Scored>& rows = lists[i - begin];
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
  const std::unique_lock<std::mutex> lock = hold();
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

std::unique_lock<std::mutex> NearestSearch::hold() const {
  if (getpid() == owner_) return std::unique_lock<std::mutex>(running_);
  std::unique_lock<std::mutex> lock(running_, std::try_to_lock);
  if (!lock) throw std::runtime_error("this search was under way when the process was forked; begin a new one");
  return lock;
}

std::vector<std::size_t> NearestSearch::places() const {
  std::vector<std::size_t> first(best_.size() + 1, 0);
  for (std::size_t i = 0; i < best_.size(); ++i) first[i + 1] = first[i] + best_[i].kept().size();
  return first;
}

std::size_t NearestSearch::found() const {
  const std::unique_lock<std::mutex> lock = hold();
  return places().back();
}

void NearestSearch::result(std::size_t count, std::int64_t* queries, std::int64_t* rows, double* distances,
                           std::size_t threads) {
  const std::unique_lock<std::mutex> lock = hold();
  const std::vector<std::size_t> first = places();
  if (first.back() != count) throw std::invalid_argument("a block was added while the result was taken");
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
