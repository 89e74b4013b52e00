#include "geometry.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

namespace copytrace::match {
namespace {

constexpr double kPlace = 64.0, kOctave = 2048.0, kPi = 3.14159265358979323846;
constexpr std::int32_t kTurn = 65536;
constexpr std::size_t kFewest = 3;

using Places = std::vector<std::size_t>;
using Column = std::int64_t Match::*;

Affine similarity(const Match& m) {
  const double scale = std::exp2(m.octaves / kOctave), angle = 2.0 * kPi * m.turns / kTurn;
  const double cosine = static_cast<float>(scale * std::cos(angle)), sine = static_cast<float>(scale * std::sin(angle));
  const double x = static_cast<double>(m.x), y = static_cast<double>(m.y);
  const double u = static_cast<double>(m.u), v = static_cast<double>(m.v);
  return {cosine, -sine, u - (cosine * x - sine * y), sine, cosine, v - (sine * x + cosine * y)};
}

double squared_error(const Affine& map, const Match& m) {
  const double x = static_cast<double>(m.x), y = static_cast<double>(m.y);
  const double across = map.a * x + map.b * y + map.c - static_cast<double>(m.u);
  const double down = map.d * x + map.e * y + map.f - static_cast<double>(m.v);
  return across * across + down * down;
}

// What the matches have to be near to, as one proposal says.
struct Proposal {
  Affine map;
  std::int32_t octaves, turns;
  double most_octaves, most_turns, most_error;

  bool has(const Match& m) const {
    const std::int32_t difference = (m.turns - turns) & (kTurn - 1);
    return std::abs(m.octaves - octaves) < most_octaves && std::min(difference, kTurn - difference) < most_turns &&
           squared_error(map, m) < most_error;
  }
};

Proposal proposal(const Match& m, const Rules& rules) {
  const double error = 2.0 * rules.place * kPlace;
  return {similarity(m), m.octaves, m.turns, rules.octaves * kOctave, rules.turns * kTurn, error * error};
}

// The match whose proposal has most matches, the first of equal ones.
std::pair<std::size_t, std::size_t> best_proposal(const std::vector<Match>& matches, const Rules& rules) {
  std::size_t best = 0, seed = 0;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    const Proposal one = proposal(matches[i], rules);
    std::size_t count = 0;
    for (std::size_t j = 0; j < matches.size() && count + matches.size() - j > best; ++j) count += one.has(matches[j]);
    if (count > best) best = count, seed = i;
  }
  return {seed, best};
}

// M^2 times the covariance, exactly: at most 4096 matches with places of 16 bits.
double covariance(const std::vector<Match>& matches, const Places& inside, Column p, Column q) {
  std::int64_t product = 0, left = 0, right = 0;
  for (const std::size_t i : inside) {
    product += matches[i].*p * (matches[i].*q);
    left += matches[i].*p;
    right += matches[i].*q;
  }
  return static_cast<double>(static_cast<std::int64_t>(inside.size()) * product - left * right);
}

double mean(const std::vector<Match>& matches, const Places& inside, Column p) {
  std::int64_t sum = 0;
  for (const std::size_t i : inside) sum += matches[i].*p;
  return static_cast<double>(sum) / static_cast<double>(inside.size());
}

std::optional<Affine> least_squares(const std::vector<Match>& matches, const Places& inside, double stretch) {
  const auto of = [&](Column p, Column q) { return covariance(matches, inside, p, q); };
  const double xx = of(&Match::x, &Match::x), xy = of(&Match::x, &Match::y), yy = of(&Match::y, &Match::y);
  const double xu = of(&Match::x, &Match::u), yu = of(&Match::y, &Match::u);
  const double xv = of(&Match::x, &Match::v), yv = of(&Match::y, &Match::v);
  const double area = xx * yy - xy * xy;
  if (area <= 1e-6 * (xx * yy)) return std::nullopt;
  const double a = (xu * yy - yu * xy) / area, b = (yu * xx - xu * xy) / area;
  const double d = (xv * yy - yv * xy) / area, e = (yv * xx - xv * xy) / area;
  if (a * a + b * b + (d * d + e * e) > (stretch + 1.0 / stretch) * (a * e - b * d)) return std::nullopt;
  const double x = mean(matches, inside, &Match::x), y = mean(matches, inside, &Match::y);
  const double u = mean(matches, inside, &Match::u), v = mean(matches, inside, &Match::v);
  return Affine{a, b, u - (a * x + b * y), d, e, v - (d * x + e * y)};
}

template <typename Condition>
Places where(const std::vector<Match>& matches, const Condition& condition) {
  Places places;
  for (std::size_t i = 0; i < matches.size(); ++i) {
    if (condition(matches[i])) places.push_back(i);
  }
  return places;
}

std::size_t distinct(const std::vector<Match>& matches, const Places& inside, Column p, Column q, double cell) {
  const auto width = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::nearbyint(cell * kPlace)));
  const auto floored = [&](std::int64_t x) { return x >= 0 ? x / width : -((width - 1 - x) / width); };
  std::vector<std::pair<std::int64_t, std::int64_t>> cells;
  cells.reserve(inside.size());
  for (const std::size_t i : inside) cells.emplace_back(floored(matches[i].*p), floored(matches[i].*q));
  std::sort(cells.begin(), cells.end());
  return static_cast<std::size_t>(std::unique(cells.begin(), cells.end()) - cells.begin());
}

double spread(const std::vector<Match>& matches, const Places& inside, Column p, Column q) {
  const double xx = covariance(matches, inside, p, p), xy = covariance(matches, inside, p, q);
  const double yy = covariance(matches, inside, q, q);
  return std::sqrt(std::sqrt(std::max(0.0, xx * yy - xy * xy))) / (static_cast<double>(inside.size()) * kPlace);
}

}  // namespace

Agreement agreeing(const std::vector<Match>& matches, const Rules& rules) {
  Agreement result;
  const auto [seed, votes] = best_proposal(matches, rules);
  if (votes < kFewest) return result;
  const Proposal one = proposal(matches[seed], rules);
  result.map = one.map;
  result.inside = where(matches, [&](const Match& m) { return one.has(m); });
  for (const double factor : {1.5, 1.0}) {
    const std::optional<Affine> fit = least_squares(matches, result.inside, rules.stretch);
    if (!fit) break;
    const double error = factor * rules.place * kPlace, most = 1.5 * rules.octaves * kOctave;
    Places within = where(matches, [&](const Match& m) {
      return std::abs(m.octaves - one.octaves) < most && squared_error(*fit, m) < error * error;
    });
    if (within.size() < kFewest) break;
    result.inside = std::move(within);
    result.map = *fit;
  }
  result.count = std::min(distinct(matches, result.inside, &Match::x, &Match::y, rules.cell),
                          distinct(matches, result.inside, &Match::u, &Match::v, rules.cell));
  if (result.count < kFewest) return {};
  result.spread = std::min(spread(matches, result.inside, &Match::x, &Match::y),
                           spread(matches, result.inside, &Match::u, &Match::v));
  return result;
}

std::array<double, 6> inverse(const Affine& map, bool mirrored) {
  const double area = map.a * map.e - map.b * map.d, sign = mirrored ? -1.0 : 1.0;
  const double p = map.e / area, q = -map.b / area, r = -map.d / area, s = map.a / area;
  return {sign * p, sign * q, sign * (-(p * map.c + q * map.f) / kPlace), r, s, -(r * map.c + s * map.f) / kPlace};
}

}  // namespace copytrace::match
