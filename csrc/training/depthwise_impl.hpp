// The body of every DepthwiseKernels, written once with the compiler's vector types. Each depthwise_*.cpp names its
// instruction set in a pragma, says how many floats its vectors hold (kWidth), and includes this file last; no standard
// header with inline functions may come in here, or the linker could pick a copy compiled for the wrong processor.
//
// One block of kWidth channels of one image is worked on at a time: unpacked to float32 with its padding into a scratch
// picture, so that the window's loops have neither borders nor conversions in them.
#include "../compiler.hpp"

namespace copytrace {
namespace {

typedef float Vec __attribute__((vector_size(kWidth * sizeof(float))));
typedef float LooseVec __attribute__((vector_size(kWidth * sizeof(float)), aligned(4), may_alias));
typedef std::uint32_t Bits __attribute__((vector_size(kWidth * sizeof(std::uint32_t))));
typedef std::uint16_t LooseHalves __attribute__((vector_size(kWidth * sizeof(std::uint16_t)), aligned(2), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const LooseVec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<LooseVec*>(p) = v; }

inline Vec load(const Bfloat16* p) {
  const Bits bits = __builtin_convertvector(*reinterpret_cast<const LooseHalves*>(p), Bits) << 16;
  return reinterpret_cast<Vec>(bits);
}

inline void store(Bfloat16* p, Vec v) {  // rounded to the nearest, ties to even
  const Bits bits = reinterpret_cast<Bits>(v);
  *reinterpret_cast<LooseHalves*>(p) =
      __builtin_convertvector((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16, LooseHalves);
}

inline Vec clip(Vec v) {
  const Vec zero = {}, six = zero + 6.0f;
  v = v > zero ? v : zero;
  return v < six ? v : six;
}

// The gradient where x lies strictly between the clips, 0 elsewhere.
inline Vec where_inside(Vec x, Vec gradient) {
  const Vec zero = {}, six = zero + 6.0f;
  return ((x > zero) & (x < six)) ? gradient : zero;
}

template <int N>
struct Count {
  static constexpr int value = N;
};

// One block of channels of an image [height, width, channels] into the inside of a padded picture whose border is 0.
template <typename T>
void unpack(const Depthwise& d, const T* x, Vec* padded) {
  const std::size_t columns = d.padded_width();
  const std::size_t rows = d.height < d.padded_height() - d.top() ? d.height : d.padded_height() - d.top();
  const std::size_t used = d.width < columns - d.left() ? d.width : columns - d.left();
  for (std::size_t row = 0; row < rows; ++row) {
    const T* from = x + row * d.width * d.channels;
    Vec* to = padded + (row + d.top()) * columns + d.left();
    for (std::size_t i = 0; i < used; ++i) {
      const Vec v = load(from + i * d.channels);
      to[i] = d.clip_input ? clip(v) : v;
    }
  }
}

// `Count` neighbouring outputs of one row; picture: where the first one's window begins.
template <int Kernel, int Stride, int Count>
inline void window(const Vec* picture, std::size_t columns, const Vec* weight, Vec* sums) {
  COPYTRACE_UNROLL(5)
  for (int i = 0; i < Kernel; ++i) {
    COPYTRACE_UNROLL(5)
    for (int j = 0; j < Kernel; ++j) {
      const Vec w = weight[i * Kernel + j];
      COPYTRACE_UNROLL(4)
      for (int n = 0; n < Count; ++n) sums[n] += w * picture[i * columns + n * Stride + j];
    }
  }
}

template <typename T, int Kernel, int Stride>
void forward(const Depthwise& d, const T* x, const float* weight, const float* bias, T* y, float* scratch) {
  const std::size_t columns = d.padded_width(), out_height = d.out_height(), out_width = d.out_width();
  Vec* padded = reinterpret_cast<Vec*>(scratch);
  for (std::size_t image = 0; image < d.images; ++image) {
    for (std::size_t channel = 0; channel < d.channels; channel += kWidth) {
      unpack(d, x + image * d.height * d.width * d.channels + channel, padded);
      Vec w[Kernel * Kernel];
      for (int i = 0; i < Kernel * Kernel; ++i) w[i] = load(weight + i * d.channels + channel);
      const Vec b = load(bias + channel);
      for (std::size_t row = 0; row < out_height; ++row) {
        const Vec* from = padded + row * Stride * columns;
        T* to = y + (image * out_height + row) * out_width * d.channels + channel;
        std::size_t i = 0;
        for (; i + 4 <= out_width; i += 4) {
          Vec sums[4] = {b, b, b, b};
          window<Kernel, Stride, 4>(from + i * Stride, columns, w, sums);
          for (int n = 0; n < 4; ++n) store(to + (i + n) * d.channels, clip(sums[n]));
        }
        for (; i < out_width; ++i) {
          Vec sums[1] = {b};
          window<Kernel, Stride, 1>(from + i * Stride, columns, w, sums);
          store(to + i * d.channels, clip(sums[0]));
        }
      }
    }
  }
}

// Gradients of y for the convolution before its clip, with a border of `Border` zeros on every side.
template <typename T, int Border>
void unpack_gradient(const Depthwise& d, const T* gradient_y, const T* y, Vec* padded, Vec* bias) {
  const std::size_t out_height = d.out_height(), out_width = d.out_width(), columns = out_width + 2 * Border;
  Vec sum = *bias;
  for (std::size_t row = 0; row < out_height; ++row) {
    Vec* to = padded + (row + Border) * columns + Border;
    for (std::size_t i = 0; i < out_width; ++i) {
      const std::size_t place = (row * out_width + i) * d.channels;
      to[i] = where_inside(load(y + place), load(gradient_y + place));
      sum += to[i];
    }
  }
  *bias = sum;
}

// Adds one row of gradients to those of the weights in the window's row i.
template <int Kernel, int Stride>
inline void weight_row(const Vec* picture, const Vec* gradients, std::size_t count, Vec* sums) {
  Vec sum[Kernel];
  COPYTRACE_UNROLL(5)
  for (int j = 0; j < Kernel; ++j) sum[j] = sums[j];
  for (std::size_t i = 0; i < count; ++i) {
    const Vec g = gradients[i];
    COPYTRACE_UNROLL(5)
    for (int j = 0; j < Kernel; ++j) sum[j] += g * picture[i * Stride + j];
  }
  COPYTRACE_UNROLL(5)
  for (int j = 0; j < Kernel; ++j) sums[j] = sum[j];
}

// Gradients of x in one row, at the padded picture's columns First, First + Stride, ...: the sum over the outputs that
// have read a place, each through another place of its window. gradients: the row of the output whose window's first
// fitting row this is; those above it read it further down.
template <typename T, int Kernel, int Stride, int First>
inline void input_row(const Depthwise& d, const Vec* gradients, std::size_t columns, std::size_t row_phase,
                      const Vec* weight, const Vec* clipped, T* out) {
  const std::size_t begin = d.left() + (d.left() + Stride - First) % Stride, end = d.left() + d.width;
  const auto sums_at = [&](const Vec* line, auto* sums, auto count) {
    for (std::size_t i = row_phase; i < Kernel; i += Stride, line -= columns) {
      COPYTRACE_UNROLL(5)
      for (int j = First; j < Kernel; j += Stride) {
        const Vec w = weight[i * Kernel + j];
        COPYTRACE_UNROLL(4)
        for (int n = 0; n < count.value; ++n) sums[n] += w * line[n - j / Stride];
      }
    }
  };
  const auto put = [&](std::size_t column, Vec sum) {
    store(out + (column - d.left()) * d.channels, d.clip_input ? where_inside(clipped[column], sum) : sum);
  };
  std::size_t column = begin;
  for (; column + 3 * Stride < end; column += 4 * Stride) {
    Vec sums[4] = {};
    sums_at(gradients + column / Stride, sums, Count<4>{});
    for (int n = 0; n < 4; ++n) put(column + n * Stride, sums[n]);
  }
  for (; column < end; column += Stride) {
    Vec sums[1] = {};
    sums_at(gradients + column / Stride, sums, Count<1>{});
    put(column, sums[0]);
  }
}

template <typename T, int Kernel, int Stride>
void backward(const Depthwise& d, const T* gradient_y, const T* y, const T* x, const float* weight, T* gradient_x,
              float* gradient_weight, float* gradient_bias, float* scratch) {
  constexpr int kBorder = Kernel - 1;
  const std::size_t columns = d.padded_width(), out_height = d.out_height(), out_width = d.out_width();
  const std::size_t gradient_columns = out_width + 2 * kBorder;
  Vec* padded = reinterpret_cast<Vec*>(scratch);
  Vec* gradients = padded + d.padded_height() * columns;
  for (std::size_t channel = 0; channel < d.channels; channel += kWidth) {
    Vec w[Kernel * Kernel], sums[Kernel * Kernel] = {}, bias = {};
    for (int i = 0; i < Kernel * Kernel; ++i) w[i] = load(weight + i * d.channels + channel);
    for (std::size_t image = 0; image < d.images; ++image) {
      const std::size_t in = image * d.height * d.width * d.channels + channel;
      const std::size_t out = image * out_height * out_width * d.channels + channel;
      unpack(d, x + in, padded);
      unpack_gradient<T, kBorder>(d, gradient_y + out, y + out, gradients, &bias);
      const Vec* first = gradients + kBorder * gradient_columns + kBorder;
      for (std::size_t row = 0; row < out_height; ++row) {
        for (int i = 0; i < Kernel; ++i) {
          weight_row<Kernel, Stride>(padded + (row * Stride + i) * columns, first + row * gradient_columns, out_width,
                                     sums + i * Kernel);
        }
      }
      if (gradient_x == nullptr) continue;
      for (std::size_t row = 0; row < d.height; ++row) {
        const std::size_t place = in + row * d.width * d.channels, r = row + d.top();
        const Vec* line = first + (r / Stride) * gradient_columns;
        const Vec* clipped = padded + r * columns;
        input_row<T, Kernel, Stride, 0>(d, line, gradient_columns, r % Stride, w, clipped, gradient_x + place);
        if constexpr (Stride == 2) {
          input_row<T, Kernel, Stride, 1>(d, line, gradient_columns, r % Stride, w, clipped, gradient_x + place);
        }
      }
    }
    for (int i = 0; i < Kernel * Kernel; ++i) store(gradient_weight + i * d.channels + channel, sums[i]);
    store(gradient_bias + channel, bias);
  }
}

template <typename T>
void forward_any(const Depthwise& d, const T* x, const float* weight, const float* bias, T* y, float* scratch) {
  if (d.kernel == 3) {
    d.stride == 1 ? forward<T, 3, 1>(d, x, weight, bias, y, scratch) : forward<T, 3, 2>(d, x, weight, bias, y, scratch);
  } else {
    d.stride == 1 ? forward<T, 5, 1>(d, x, weight, bias, y, scratch) : forward<T, 5, 2>(d, x, weight, bias, y, scratch);
  }
}

template <typename T>
void backward_any(const Depthwise& d, const T* gy, const T* y, const T* x, const float* w, T* gx, float* gw, float* gb,
                  float* s) {
  if (d.kernel == 3) {
    d.stride == 1 ? backward<T, 3, 1>(d, gy, y, x, w, gx, gw, gb, s) : backward<T, 3, 2>(d, gy, y, x, w, gx, gw, gb, s);
  } else {
    d.stride == 1 ? backward<T, 5, 1>(d, gy, y, x, w, gx, gw, gb, s) : backward<T, 5, 2>(d, gy, y, x, w, gx, gw, gb, s);
  }
}

constexpr DepthwiseKernels make_depthwise(const char* name) {
  return {name, {&forward_any<float>, &backward_any<float>}, {&forward_any<Bfloat16>, &backward_any<Bfloat16>}};
}

}  // namespace
}  // namespace copytrace
