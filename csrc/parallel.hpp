// Splits rows over threads. Every block is computed the same way whoever takes it, so the number of threads never
// shows.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

#include "thread_pool.hpp"

namespace copytrace {

// Threads worth starting: more than there are processors only wait for each other. Small machines are allowed a few
// more, so that tests can have them anywhere.
inline std::size_t usable_threads(std::size_t wanted) {
  return std::min(wanted, std::max<std::size_t>(std::thread::hardware_concurrency(), 8));
}

// Runs `loop` here and on `helpers` more threads, fewer where the system refuses to start one.
template <typename Loop>
void run_on_new_threads(std::size_t helpers, const Loop& loop) {
  std::vector<std::thread> started;
  started.reserve(helpers);
  try {
    while (started.size() < helpers) started.emplace_back(loop);
  } catch (const std::exception&) {
    // No more threads to be had, or no memory for one: those that started, and this one, do it all.
  }
  loop();
  for (std::thread& thread : started) thread.join();
}

// Calls work(begin, end) for consecutive blocks of `block` rows, on up to `threads` threads, fewer where the system
// refuses to start one; the first exception is rethrown.
template <typename Work>
void parallel_blocks(std::size_t rows, std::size_t block, std::size_t threads, const Work& work) {
  const std::size_t blocks = (rows + block - 1) / block;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  const auto loop = [&] {
    try {
      for (std::size_t i = next++; i < blocks; i = next++) work(i * block, std::min(rows, (i + 1) * block));
    } catch (...) {
      if (!failed.exchange(true)) error = std::current_exception();
      next = blocks;
    }
  };
  const std::size_t workers = std::min(usable_threads(threads), blocks);
  if (workers <= 1) {
    loop();
  } else if (!thread_pool.run(workers - 1, loop)) {
    run_on_new_threads(workers - 1, loop);
  }
  if (error) std::rethrow_exception(error);
}

// Rows a thread takes at a time: whole tiles, at most about `most`, the same number for every thread.
inline std::size_t rows_per_block(std::size_t rows, std::size_t most, std::size_t tile_rows, std::size_t wanted) {
  const std::size_t threads = usable_threads(wanted);
  const std::size_t turns = std::max<std::size_t>((rows + threads * most - 1) / (threads * most), 1);
  const std::size_t share = (rows + threads * turns - 1) / (threads * turns);
  return std::max<std::size_t>((share + tile_rows - 1) / tile_rows, 1) * tile_rows;
}

}  // namespace copytrace
