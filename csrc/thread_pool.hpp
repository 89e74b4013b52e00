// Threads that stay awake for a moment after their last job: the next one, which in a row of calls follows at once,
// then need not wait for them to be started or woken.
#pragma once
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace copytrace {

class ThreadPool {
 public:
  // Runs `job`, which must neither throw nor come back here, on the calling thread and, beside it, on up to `helpers`
  // others that are free in time; returns when all that began it have ended. False, with nothing done, while another
  // call is at it, and in a process forked from the one that the threads belong to.
  bool run(std::size_t helpers, const std::function<void()>& job) {
    if (getpid() != owner_) return false;
    const std::unique_lock<std::mutex> caller(calling_, std::try_to_lock);
    if (!caller) return false;
    publish(helpers, job);
    job();
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_ = 0;  // who has not begun by now comes too late
    lock.unlock();
    spin([&] { return inside_.load(std::memory_order_acquire) == 0; });
    lock.lock();
    finished_.wait(lock, [&] { return inside_ == 0; });
    return true;
  }

 private:
  static constexpr std::chrono::microseconds kAwake{100};

  void publish(std::size_t helpers, const std::function<void()>& job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    while (threads_ < helpers && start()) ++threads_;
    job_ = &job;
    wanted_ = helpers;
    ++jobs_;
    for (std::size_t i = std::min(helpers, sleeping_); i > 0; --i) news_.notify_one();
  }

  // A thread of its own that never ends, and that leaves signals to those of the program. False when there are no more
  // to be had.
  bool start() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = true;
    try {
      std::thread([this] { serve(); }).detach();
    } catch (const std::exception&) {  // the system has no more threads, or no memory for one
      started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
  }

  void serve() {
    std::uint64_t seen = 0;
    for (;;) {
      spin([&] { return jobs_.load(std::memory_order_acquire) != seen; });
      std::unique_lock<std::mutex> lock(mutex_);
      ++sleeping_;
      news_.wait(lock, [&] { return jobs_ != seen; });
      --sleeping_;
      seen = jobs_;
      if (wanted_ == 0) continue;
      --wanted_;
      ++inside_;
      const std::function<void()>& job = *job_;
      lock.unlock();
      job();
      lock.lock();
      if (--inside_ == 0) finished_.notify_one();
    }
  }

  template <typename Done>
  void spin(const Done& done) const {
    const auto end = std::chrono::steady_clock::now() + kAwake;
    while (!done() && std::chrono::steady_clock::now() < end) {
      for (int i = 0; i < 16; ++i) pause();
    }
  }

  static void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  const pid_t owner_ = getpid();
  std::mutex calling_;
  std::mutex mutex_;  // of all that follows
  std::condition_variable news_;
  std::condition_variable finished_;
  std::size_t threads_ = 0;
  std::size_t sleeping_ = 0;
  std::size_t wanted_ = 0;
  const std::function<void()>* job_ = nullptr;
  std::atomic<std::uint64_t> jobs_{0};
  std::atomic<std::size_t> inside_{0};
};

// Made when the module is loaded and never taken down: its threads may still be asleep in it when the process ends.
inline ThreadPool& thread_pool = *new ThreadPool;

}  // namespace copytrace
