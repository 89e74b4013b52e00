// The body of every SiftKernel, written once with the compiler's vector types. Each sift_*.cpp names its instruction
// set in a pragma, defines kLanes, Vec, LooseVec, Whole, `lane_mask` and `gather_pairs`, and includes this file last;
// no standard header with inline functions may come in here, or the linker could pick a copy compiled for the wrong
// processor.
namespace copytrace::match {
namespace {

inline Vec load(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<LooseVec*>(p) = v; }
inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }
inline Vec absolute(Vec a) { return reinterpret_cast<Vec>(reinterpret_cast<Whole>(a) & 0x7fffffff); }

// The place that stands for one outside: 2 1 | 0 1 2 ... n-1 | n-2 n-3
inline std::size_t reflected(std::ptrdiff_t i, std::ptrdiff_t n) {
  if (n == 1) return 0;
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * n - 2 - i;
  return static_cast<std::size_t>(i);
}

template <std::size_t kRadius>
inline void blur_by(const Plane& in, const Plane& out, float* difference, const float* weights, float* line) {
  const std::size_t width = in.width, stride = in.stride;
  const std::ptrdiff_t height = static_cast<std::ptrdiff_t>(in.height);
  float* middle = line + kMostRadius;
  Vec w[kRadius + 1];
  for (std::size_t t = 0; t <= kRadius; ++t) w[t] = Vec{} + weights[t];
  for (std::ptrdiff_t y = 0; y < height; ++y) {
    const float* rows[2 * kRadius + 1];
    for (std::ptrdiff_t t = -static_cast<std::ptrdiff_t>(kRadius); t <= static_cast<std::ptrdiff_t>(kRadius); ++t) {
      rows[t + static_cast<std::ptrdiff_t>(kRadius)] = in.row(reflected(y + t, height));
    }
    for (std::size_t x = 0; x < stride; x += kLanes) {
      Vec sum = w[0] * load(rows[kRadius] + x);
      COPYTRACE_UNROLL(16)
      for (std::size_t t = 1; t <= kRadius; ++t)
        sum += w[t] * (load(rows[kRadius - t] + x) + load(rows[kRadius + t] + x));
      store(middle + x, sum);
    }
    for (std::ptrdiff_t t = 1; t <= static_cast<std::ptrdiff_t>(kRadius); ++t) {
      const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(width);
      middle[-t] = middle[reflected(-t, n)];
      middle[n - 1 + t] = middle[reflected(n - 1 + t, n)];
    }
    const float* before = in.row(static_cast<std::size_t>(y));
    float* after = out.row(static_cast<std::size_t>(y));
    for (std::size_t x = 0; x < stride; x += kLanes) {
      Vec sum = w[0] * load(middle + x);
      COPYTRACE_UNROLL(16)
      for (std::size_t t = 1; t <= kRadius; ++t) sum += w[t] * (load(middle + x - t) + load(middle + x + t));
      store(after + x, sum);
      if (difference != nullptr) {
        store(difference + static_cast<std::size_t>(y) * stride + x, sum - load(before + x));
      }
    }
  }
}

void blur(const Plane& in, const Plane& out, float* difference, const float* weights, std::size_t radius, float* line) {
  switch (radius) {
#define COPYTRACE_BLUR(r) \
  case r:                 \
    return blur_by<r>(in, out, difference, weights, line);
    COPYTRACE_BLUR(4)
    COPYTRACE_BLUR(5)
    COPYTRACE_BLUR(6)
    COPYTRACE_BLUR(8)
    COPYTRACE_BLUR(10)
#undef COPYTRACE_BLUR
  }
}

// Clears the lanes of v that are below one of the nine numbers around `row` (high), or above one (low).
inline void compare_around(const float* row, std::size_t stride, Vec v, Whole& high, Whole& low) {
  Vec least = v, most = v;
  COPYTRACE_UNROLL(3)
  for (std::size_t y = 0; y < 3; ++y) {
    COPYTRACE_UNROLL(3)
    for (std::size_t x = 0; x < 3; ++x) {
      const Vec other = load(row + y * stride + x - stride - 1);
      least = smaller(least, other);
      most = larger(most, other);
    }
  }
  high &= v >= most;
  low &= v <= least;
}

std::size_t extrema(const float* below, const float* at, const float* above, std::size_t stride, std::size_t first,
                    std::size_t last, float threshold, std::uint32_t* columns) {
  std::size_t found = 0;
  for (std::size_t x = first / kLanes * kLanes; x < last; x += kLanes) {
    const Vec v = load(at + x), left = load(at + x - 1), right = load(at + x + 1);
    const Vec up = load(at + x - stride), down = load(at + x + stride), lower = load(below + x),
              upper = load(above + x);
    const Vec most = larger(larger(larger(left, right), larger(up, down)), larger(lower, upper));
    const Vec least = smaller(smaller(smaller(left, right), smaller(up, down)), smaller(lower, upper));
    Whole high = (v > threshold) & (v >= most), low = (v < -threshold) & (v <= least);
    if (lane_mask(high | low) == 0) continue;  // nearly always: the six nearest neighbours settle it
    compare_around(at + x, stride, v, high, low);
    compare_around(below + x, stride, v, high, low);
    compare_around(above + x, stride, v, high, low);
    for (unsigned mask = lane_mask(high | low); mask != 0; mask &= mask - 1) {
      const std::size_t column = x + static_cast<std::size_t>(__builtin_ctz(mask));
      if (column >= first && column < last) columns[found++] = static_cast<std::uint32_t>(column);
    }
  }
  return found;
}

// Places of the samples in a patch, in steps from its centre.
struct Offsets {
  float across[kSamples], down[kSamples];

  constexpr Offsets() : across(), down() {
    for (std::size_t i = 0; i < (kGrid + 1) * (kGrid + 1); ++i) {
      across[i] = static_cast<float>(i % (kGrid + 1)) - static_cast<float>(kGrid) / 2;
      down[i] = static_cast<float>(i / (kGrid + 1)) - static_cast<float>(kGrid) / 2;
    }
  }
};
constexpr Offsets kOffsets;

// Bilinear samples; a place outside has the value of the border.
inline void sample(const Plane& plane, const Patch& patch, float* values) {
  const float right = static_cast<float>(plane.width - 1), bottom = static_cast<float>(plane.height - 1);
  const std::int32_t stride = static_cast<std::int32_t>(plane.stride);
  const Vec zero{};
  for (std::size_t i = 0; i < kSamples; i += kLanes) {
    const Vec u = load(kOffsets.across + i), v = load(kOffsets.down + i);
    const Vec x = smaller(larger(patch.x + (patch.across * u - patch.down * v), zero), zero + right);
    const Vec y = smaller(larger(patch.y + (patch.down * u + patch.across * v), zero), zero + bottom);
    const Whole column = __builtin_convertvector(x, Whole), row = __builtin_convertvector(y, Whole);
    const Vec fx = x - __builtin_convertvector(column, Vec), fy = y - __builtin_convertvector(row, Vec);
    const Whole place = row * stride + column;
    Vec a, b, c, d;
    gather_pairs(plane.data, place, a, b);
    gather_pairs(plane.data + stride, place, c, d);
    const Vec upper = a + fx * (b - a), lower = c + fx * (d - c);
    store(values + i, upper + fy * (lower - upper));
  }
}

// The angle of (x, y) in turns, 0 to 1; a polynomial of the smaller side's share, within 3e-7 turns.
inline Vec turns_of(Vec x, Vec y) {
  const Vec ax = absolute(x), ay = absolute(y), longer = larger(ax, ay), shorter = smaller(ax, ay);
  const Vec r = shorter / larger(longer, Vec{} + 1e-20f), s = r * r;
  Vec p = Vec{} + -0.0018651518f;
  p = p * s + 0.008379071f;
  p = p * s + -0.018529838f;
  p = p * s + 0.030802904f;
  p = p * s + -0.052938566f;
  p = p * s + 0.15915132f;
  p = p * r;
  p = ay > ax ? 0.25f - p : p;
  p = x < 0.0f ? 0.5f - p : p;
  return y < 0.0f ? 1.0f - p : p;
}

inline Vec square_root(Vec v) {
  Vec result;
  for (std::size_t i = 0; i < kLanes; ++i) result[i] = __builtin_sqrtf(v[i]);
  return result;
}

void gradients(const Plane& plane, const Patch& patch, const float* weights, float* lengths, float* turns) {
  float values[kSamples];
  sample(plane, patch, values);
  for (std::size_t i = 0; i < kGradients; i += kLanes) {
    const float* p = values + i + i / kGrid;
    const Vec a = load(p), b = load(p + 1), c = load(p + kGrid + 1), d = load(p + kGrid + 2);
    const Vec falling = d - a, rising = b - c, x = falling + rising, y = falling - rising;
    store(lengths + i, square_root(x * x + y * y) * load(weights + i));
    store(turns + i, turns_of(x, y));
  }
}

// The share of the gradient in row or column `place` that goes to a cell.
constexpr float cell_share(std::size_t cell, std::size_t place) {
  const float at = (static_cast<float>(place) - (kGrid - 1) / 2.0f) * (5.0f / kGrid) + 1.5f;
  const float far = at > static_cast<float>(cell) ? at - static_cast<float>(cell) : static_cast<float>(cell) - at;
  return far < 1.0f ? 1.0f - far : 0.0f;
}

void pool(const float* lengths, const float* turns, float* histogram) {
  float rows[kCells][kGrid][kDirections];
  for (std::size_t x = 0; x < kGrid; x += kLanes) {
    for (std::size_t k = 0; k < kDirections; ++k) {
      Vec sums[kCells] = {};
      COPYTRACE_UNROLL(16)
      for (std::size_t y = 0; y < kGrid; ++y) {
        const Vec far = absolute(load(turns + y * kGrid + x) * 8.0f - static_cast<float>(k));
        const Vec share = larger(1.0f - smaller(far, 8.0f - far), Vec{});
        const Vec value = load(lengths + y * kGrid + x) * share;
        COPYTRACE_UNROLL(4)
        for (std::size_t i = 0; i < kCells; ++i) {
          if (cell_share(i, y) > 0.0f) sums[i] += value * cell_share(i, y);
        }
      }
      for (std::size_t i = 0; i < kCells; ++i) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) rows[i][x + lane][k] = sums[i][lane];
      }
    }
  }
  for (std::size_t i = 0; i < kCells; ++i) {
    for (std::size_t j = 0; j < kCells; ++j) {
      float sums[kDirections] = {};
      COPYTRACE_UNROLL(16)
      for (std::size_t x = 0; x < kGrid; ++x) {
        if (cell_share(j, x) == 0.0f) continue;
        for (std::size_t k = 0; k < kDirections; ++k) sums[k] += rows[i][x][k] * cell_share(j, x);
      }
      // Directions go the other way round, as in OpenCV's descriptors.
      for (std::size_t k = 0; k < kDirections; ++k) {
        histogram[(i * kCells + j) * kDirections + (kDirections - k) % kDirections] = sums[k];
      }
    }
  }
}

constexpr SiftKernel make_sift() { return {&blur, &extrema, &gradients, &pool}; }

}  // namespace
}  // namespace copytrace::match
