// The body of every TileKernel, written once with the compiler's vector types. Each tile_*.cpp names its instruction
// set in a pragma and includes this file last; no standard header with inline functions may come in here, or the linker
// could pick a copy compiled for the wrong processor.
#include "compiler.hpp"
#include "tile.hpp"

namespace copytrace {
namespace {

template <int Width>
struct Vector {
  typedef float type __attribute__((vector_size(Width * sizeof(float))));
  typedef float unaligned __attribute__((vector_size(Width * sizeof(float)), aligned(4), may_alias));
};

template <int Width>
struct DoubleVector {
  typedef double type __attribute__((vector_size(Width * sizeof(double))));
};

// The sums are only ever indexed by unrolled loops: once their address were taken, they would live in memory.
template <int Width, int Rows>
void multiply(const float* left, std::size_t row_step, std::size_t depth_step, const float* panel, std::size_t depth,
              float* out) {
  using vec = typename Vector<Width>::type;
  using unaligned = typename Vector<Width>::unaligned;
  constexpr int kVectors = static_cast<int>(kPanelRows) / Width;
  vec sum[Rows][kVectors] = {};
  for (std::size_t k = 0; k < depth; ++k, panel += kPanelRows, left += depth_step) {
    vec right[kVectors];
    COPYTRACE_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) right[v] = *reinterpret_cast<const unaligned*>(panel + v * Width);
    COPYTRACE_UNROLL(14)
    for (int r = 0; r < Rows; ++r) {
      const float x = left[r * row_step];
      COPYTRACE_UNROLL(8)
      for (int v = 0; v < kVectors; ++v) sum[r][v] += x * right[v];
    }
  }
  COPYTRACE_UNROLL(14)
  for (int r = 0; r < Rows; ++r) {
    COPYTRACE_UNROLL(8)
    for (int v = 0; v < kVectors; ++v) *reinterpret_cast<unaligned*>(out + r * kPanelRows + v * Width) = sum[r][v];
  }
}

// Sums in eight lanes, then over the lanes: an order the compiler can vectorise, and the same on every instruction set.
constexpr std::size_t kLanes = 8;

double sum_lanes(const double* lanes) {
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

double squared_length(const float* row, std::size_t size) {
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lanes[j] += static_cast<double>(row[i + j]) * row[i + j];
  }
  for (; i < size; ++i) lanes[i % kLanes] += static_cast<double>(row[i]) * row[i];
  return sum_lanes(lanes);
}

// Added up in the order of numpy's sum over a contiguous axis: eight sums, pairs of them, halves above 128 values. What
// is compared with numpy then ties where numpy says so.
template <int Width>
COPYTRACE_UNFUSED double squared_distance(const float* a, const float* b, std::size_t size) {
  COPYTRACE_UNFUSED_BODY
  using vec = typename DoubleVector<Width>::type;
  using unaligned = typename Vector<Width>::unaligned;
  constexpr int kSums = 8, kVectors = kSums / Width;
  constexpr std::size_t kWhole = 128;
  if (size > kWhole) {
    const std::size_t half = size / 2 / kSums * kSums;
    return squared_distance<Width>(a, b, half) + squared_distance<Width>(a + half, b + half, size - half);
  }
  vec sum[kVectors] = {};
  std::size_t i = 0;
  for (; i + kSums <= size; i += kSums) {
    COPYTRACE_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) {
      const vec x = __builtin_convertvector(*reinterpret_cast<const unaligned*>(a + i + v * Width), vec);
      const vec difference = x - __builtin_convertvector(*reinterpret_cast<const unaligned*>(b + i + v * Width), vec);
      sum[v] += difference * difference;
    }
  }
  double s[kSums];
  __builtin_memcpy(s, sum, sizeof s);
  double total = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  for (; i < size; ++i) {
    const double difference = static_cast<double>(a[i]) - b[i];
    total += difference * difference;
  }
  return total;
}

void add_unit_difference(const float* a, const float* b, std::size_t size, double* sum) {
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) {
      const double difference = static_cast<double>(a[i + j]) - b[i + j];
      lanes[j] += difference * difference;
    }
  }
  for (; i < size; ++i) lanes[i % kLanes] += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  const double squared = sum_lanes(lanes);
  if (squared == 0.0) return;
  const double inverse = 1.0 / __builtin_sqrt(squared);
  for (i = 0; i < size; ++i) sum[i] += (static_cast<double>(a[i]) - b[i]) * inverse;
}

template <int Width, int Rows>
constexpr TileKernel make_kernel(const char* name, std::uint32_t (*above)(const float*, const float*, float)) {
  static_assert(Rows <= static_cast<int>(kMaxTileRows));
  return {name,
          Rows,
          &multiply<Width, Rows>,
          above,
          &squared_length,
          &squared_distance<Width / 2>,
          &add_unit_difference,
          nullptr,
          nullptr};
}

}  // namespace
}  // namespace copytrace
