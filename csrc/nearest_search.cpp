#include "nearest_search.hpp"

#include <limits>

#include "distance.hpp"
#include "parallel.hpp"

namespace copytrace {

NearestSearch::NearestSearch(const float* queries, std::size_t count, std::size_t size, std::size_t k)
    : data_(queries, queries + count * size), queries_(data_.data(), count, size), k_(k), best_(count, Best(k)) {}

void NearestSearch::search(const Block& block, std::size_t begin, std::size_t end, Panels panels, Best* best,
                           float* thresholds, const TileKernel& kernel) const {
  block.references.propose(queries_, begin, end, panels, thresholds, kernel, [&](std::size_t query, std::size_t row) {
    if (block.alive != nullptr && block.alive[row] == 0) return;
    Best& kept = best[query - begin];
    const RankedNeighbour found{squared_distance(queries_.row(query), block.references.row(row), size()),
                                block.ranks[row], block.first + static_cast<std::int64_t>(row)};
    if (kept.full() && !(found < kept.last())) return;
    if (kept.add(found)) {
      thresholds[query - begin] = block.references.threshold(queries_.squares[query], kept.last().distance);
    }
  });
}

void NearestSearch::add(const References& block, std::int64_t first, const std::int64_t* ranks,
                        const std::uint8_t* alive, const TileKernel& kernel, std::size_t threads) {
  const std::lock_guard<std::mutex> lock(running_);
  std::vector<float> thresholds(queries_.count, -std::numeric_limits<float>::infinity());
  for (std::size_t i = 0; i < queries_.count; ++i) {
    if (best_[i].full()) thresholds[i] = block.threshold(queries_.squares[i], best_[i].last().distance);
  }
  const SearchGrid grid(queries_.count, block.panels(), kernel.rows, threads);
  const Block rows{block, first, ranks, alive};
  std::vector<std::vector<Best>> found(grid.parts() > 1 ? grid.tasks() : 0);
  parallel_blocks(grid.tasks(), 1, threads, [&](std::size_t task, std::size_t) {
    const std::size_t begin = grid.begin(task), end = grid.end(task);
    if (found.empty()) {
      search(rows, begin, end, grid.panels(task), &best_[begin], &thresholds[begin], kernel);
      for (std::size_t i = begin; i < end; ++i) best_[i].trim();
      return;
    }
    std::vector<float> own(thresholds.begin() + static_cast<std::ptrdiff_t>(begin),
                           thresholds.begin() + static_cast<std::ptrdiff_t>(end));
    found[task].assign(end - begin, Best(k_));
    search(rows, begin, end, grid.panels(task), found[task].data(), own.data(), kernel);
  });
  for (std::size_t task = 0; task < found.size(); ++task) {
    for (std::size_t i = 0; i < found[task].size(); ++i) {
      Best& best = best_[grid.begin(task) + i];
      for (const RankedNeighbour& neighbour : found[task][i].kept()) best.add(neighbour);
      best.trim();
    }
  }
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
