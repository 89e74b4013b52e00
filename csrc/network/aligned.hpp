// Memory that begins where a cache line does.
#pragma once
#include <cstddef>
#include <new>
#include <vector>

namespace copytrace::network {

inline constexpr std::size_t kLine = 64;

template <typename T>
struct OnLines {
  using value_type = T;
  OnLines() = default;
  template <typename Other>
  OnLines(const OnLines<Other>&) {}
  T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{kLine})); }
  void deallocate(T* memory, std::size_t) { ::operator delete(memory, std::align_val_t{kLine}); }
  friend bool operator==(const OnLines&, const OnLines&) { return true; }
  friend bool operator!=(const OnLines&, const OnLines&) { return false; }
};

template <typename T>
using Aligned = std::vector<T, OnLines<T>>;

}  // namespace copytrace::network
