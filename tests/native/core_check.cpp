// The native core without Python, on every instruction set there is, against sums in double: for compilers and
// processors that no Python here is built for. Prints what it checked; exits with 1 at the first difference.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "bank.hpp"
#include "dispatch.hpp"
#include "nearest_search.hpp"
#include "projection.hpp"
#include "references.hpp"

using namespace copytrace;

namespace {

std::mt19937 generator(7);

std::vector<float> normal(std::size_t count) {
  std::normal_distribution<float> distribution;
  std::vector<float> values(count);
  for (float& value : values) value = distribution(generator);
  return values;
}

void require(bool right, const char* what, const TileKernel& kernel) {
  if (right) return;
  std::printf("%s: %s differs\n", kernel.name, what);
  std::exit(1);
}

double distance(const float* a, const float* b, std::size_t size) {
  double sum = 0.0;
  for (std::size_t i = 0; i < size; ++i) sum += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  return sum;
}

void check_above(const TileKernel& kernel) {
  const std::vector<float> products = normal(kPanelRows), offsets = normal(kPanelRows);
  const std::uint32_t mask = kernel.above(products.data(), offsets.data(), 0.25f);
  for (std::size_t c = 0; c < kPanelRows; ++c) {
    require((mask >> c & 1u) == (products[c] - offsets[c] > 0.25f ? 1u : 0u), "above", kernel);
  }
}

void check_rows(const TileKernel& kernel, std::size_t size) {
  const std::vector<float> a = normal(size), b = normal(size);
  require(
      kernel.squared_distance(a.data(), b.data(), size) == plain_kernel().squared_distance(a.data(), b.data(), size),
      "the bits of a squared distance", kernel);
  const double expected = distance(a.data(), b.data(), size);
  require(std::abs(kernel.squared_distance(a.data(), b.data(), size) - expected) < 1e-12 * expected, "distance",
          kernel);
}

// y = ((x - mean) @ components^T) / sqrt(eigenvalues), y / ||y||
void check_projection(const TileKernel& kernel, std::size_t rows, std::size_t inputs, std::size_t outputs) {
  const std::vector<float> raw = normal(rows * inputs), mean = normal(inputs), components = normal(outputs * inputs);
  std::vector<float> values = normal(outputs), out(rows * outputs);
  for (float& value : values) value = value * value + 0.1f;
  Projection(mean.data(), components.data(), values.data(), inputs, outputs)
      .apply(raw.data(), rows, out.data(), kernel, 3);
  for (std::size_t row = 0; row < rows; ++row) {
    std::vector<double> y(outputs);
    double length = 0.0;
    for (std::size_t d = 0; d < outputs; ++d) {
      for (std::size_t e = 0; e < inputs; ++e) {
        y[d] += (static_cast<double>(raw[row * inputs + e]) - mean[e]) * components[d * inputs + e];
      }
      y[d] /= std::sqrt(static_cast<double>(values[d]));
      length += y[d] * y[d];
    }
    for (std::size_t d = 0; d < outputs; ++d) {
      require(std::abs(out[row * outputs + d] - y[d] / std::sqrt(length)) < 1e-5, "projection", kernel);
    }
  }
}

void check_search(const TileKernel& kernel, std::size_t queries, std::size_t rows, std::size_t size, std::size_t k) {
  const std::vector<float> q = normal(queries * size), r = normal(rows * size);
  std::vector<std::int64_t> ranks(rows);
  for (std::size_t i = 0; i < rows; ++i) ranks[i] = static_cast<std::int64_t>(rows - i);
  const References references(r.data(), rows, size);
  NearestSearch search(q.data(), queries, size, k);
  search.add(references, 0, ranks.data(), nullptr, kernel, 3);
  const std::size_t kept = std::min(k, rows);
  require(search.found() == queries * kept, "the number of neighbours", kernel);
  std::vector<std::int64_t> of(queries * kept), neighbours(queries * kept);
  std::vector<double> distances(queries * kept);
  search.result(of.size(), of.data(), neighbours.data(), distances.data(), 2);
  for (std::size_t query = 0; query < queries; ++query) {
    std::vector<double> all(rows);
    for (std::size_t row = 0; row < rows; ++row) all[row] = distance(&q[query * size], &r[row * size], size);
    std::sort(all.begin(), all.end());
    for (std::size_t i = 0; i < kept; ++i) {
      require(std::abs(distances[query * kept + i] - all[i]) < 1e-9, "a neighbour", kernel);
    }
    const double limit = all[kept - 1] + 1e-9;
    const auto within = references.within(Queries(&q[query * size], 1, size), &limit, rows, nullptr, kernel, 2);
    require(within && within->size() >= kept, "what lies within a distance", kernel);
  }
}

void check_bank(const TileKernel& kernel, std::size_t queries, std::size_t rows, std::size_t size) {
  const std::vector<float> q = normal(queries * size), r = normal(rows * size);
  const Bank bank(r.data(), rows, size);
  std::vector<float> out(queries * size), plain(queries * size);
  for (const int method : {1, 2}) {
    const Normalisation how{method, 1.8f, 3, 100};
    bank.normalise(q.data(), queries, how, out.data(), kernel, 2);
    bank.normalise(q.data(), queries, how, plain.data(), plain_kernel(), 1);
    for (std::size_t i = 0; i < out.size(); ++i) require(std::abs(out[i] - plain[i]) < 1e-3f, "normalisation", kernel);
  }
}

// Calls from several threads at once: one has the pool, the others start threads of their own, and an error stays with
// the call that it belongs to.
void check_callers(const TileKernel& kernel) {
  constexpr std::size_t kRows = 300, kSize = 24;
  const std::vector<float> q = normal(kRows * kSize), bad(kRows * kSize, NAN);
  const Normalisation how{2, 1.8f, 3, 100};
  const Bank bank(q.data(), kRows, kSize);
  std::vector<float> expected(q.size());
  Bank(q.data(), kRows, kSize).normalise(q.data(), kRows, how, expected.data(), kernel, 1);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      std::vector<float> out(q.size());
      for (int round = 0; round < 30; ++round) {
        bool thrown = false;
        const bool harmful = (round + caller) % 5 == 0;
        try {
          bank.normalise(harmful ? bad.data() : q.data(), kRows, how, out.data(), kernel, 4);
        } catch (const std::invalid_argument&) {
          thrown = true;
        }
        if (thrown != harmful || (!harmful && out != expected)) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  require(wrong == 0, "one of many calls at once", kernel);
}

}  // namespace

int main() {
  for (const TileKernel* kernel : available_kernels()) {
    for (int i = 0; i < 20; ++i) check_above(*kernel);
    for (const std::size_t size : {1, 7, 8, 9, 33, 128, 129, 255, 256, 300}) check_rows(*kernel, size);
    check_projection(*kernel, 13, 33, 31);
    check_projection(*kernel, 1, 255, 65);
    check_search(*kernel, 7, 255, 17, 10);
    check_search(*kernel, 1, 5000, 8, 100);
    check_search(*kernel, 33, 31, 64, 50);
    check_search(*kernel, 40, 6400, 9, 100);
    check_bank(*kernel, 13, 300, 40);
    check_callers(*kernel);
    std::printf("%s: as it should be\n", kernel->name);
  }
}
