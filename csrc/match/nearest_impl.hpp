// The body of every NearestKernel, written once with the compiler's vector types. Each nearest_*.cpp names its
// instruction set in a pragma, defines kLanes, kVectors, kBlock, the type Number with kShift, `multiply_add` and
// `bits_up_to`, and includes this file last; no standard header with inline functions may come in here, or the linker
// could pick a copy compiled for the wrong processor.
//
// A group is what 32 bits hold of a row: two numbers of 16 bits, or four of 8. In a panel the same group of
// neighbouring query rows lies side by side; a group of one reference row is multiplied with all of them. Query numbers
// are packed minus kShift (128 where they must fit in a signed byte), which the shifted lengths of the reference make
// good again.
namespace copytrace::match {
namespace {

constexpr std::size_t kGroup = 4 / sizeof(Number), kGroups = kDescriptor / kGroup, kPanel = kLanes * kVectors;

inline Vec load(const void* p) { return *static_cast<const LooseVec*>(p); }
inline void store(void* p, Vec v) { *static_cast<LooseVec*>(p) = v; }
inline Vec smaller(Vec a, Vec b) { return a < b ? a : b; }

std::int32_t squared_length(const std::uint8_t* row) {
  std::int32_t sum = 0;
  for (std::size_t k = 0; k < kDescriptor; ++k) sum += row[k] * row[k];
  return sum;
}

void pack_query(const std::uint8_t* rows, std::size_t count, const std::uint8_t* bins, std::uint8_t* packed,
                std::int32_t* lengths) {
  Number* out = reinterpret_cast<Number*>(packed);
  for (std::size_t first = 0; first < count; first += kPanel) {
    for (std::size_t lane = 0; lane < kPanel; ++lane) {
      const std::size_t i = first + lane;
      lengths[i] = i < count ? squared_length(rows + i * kDescriptor) : kNoDistance;
      for (std::size_t k = 0; k < kDescriptor; ++k) {
        const int value = i < count ? rows[i * kDescriptor + bins[k]] : 0;
        out[first * kDescriptor + (k / kGroup * kPanel + lane) * kGroup + k % kGroup] =
            static_cast<Number>(value - kShift);
      }
    }
  }
}

// The packed reference is row after row, of bytes where groups are of bytes.
void pack_reference(const std::uint8_t* rows, std::size_t count, std::uint8_t* packed, std::int32_t* lengths) {
  Number* out = reinterpret_cast<Number*>(packed);
  const std::size_t padded = (count + kBlock - 1) / kBlock * kBlock;
  for (std::size_t j = 0; j < padded; ++j) {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < kDescriptor; ++k) {
      const std::uint8_t value = j < count ? rows[j * kDescriptor + k] : 0;
      sum += value;
      out[j * kDescriptor + k] = static_cast<Number>(value);
    }
    lengths[j] = j < count ? squared_length(rows + j * kDescriptor) - 2 * kShift * sum : kNoDistance;
  }
}

void find(const std::uint8_t* query, const std::int32_t* query_lengths, std::size_t panels,
          const std::uint8_t* reference, const std::int32_t* reference_lengths, std::size_t blocks,
          std::int32_t* distance, std::int32_t* row, std::int32_t* second, std::int32_t* second_row,
          std::int32_t* least) {
  const Vec none = Vec{} + kNoDistance;
  for (std::size_t i = 0; i < blocks * kBlock * kPanel; i += kLanes) store(least + i, none);
  for (std::size_t panel = 0; panel < panels; ++panel, query += kGroups * kPanel * 4, query_lengths += kPanel) {
    Vec best[kVectors], next[kVectors], index[kVectors] = {}, next_index[kVectors] = {};
    for (std::size_t v = 0; v < kVectors; ++v) best[v] = next[v] = none;
    for (std::size_t block = 0; block < blocks; ++block) {
      Vec sums[kBlock][kVectors] = {};
      const std::uint8_t* rows = reference + block * kBlock * kGroups * 4;
      for (std::size_t g = 0; g < kGroups; ++g) {
        Vec q[kVectors];
        COPYTRACE_UNROLL(4)
        for (std::size_t v = 0; v < kVectors; ++v) q[v] = load(query + (g * kPanel + v * kLanes) * 4);
        COPYTRACE_UNROLL(12)
        for (std::size_t r = 0; r < kBlock; ++r) {
          std::int32_t group;
          __builtin_memcpy(&group, rows + (r * kGroups + g) * 4, 4);
          COPYTRACE_UNROLL(4)
          for (std::size_t v = 0; v < kVectors; ++v) sums[r][v] = multiply_add(sums[r][v], Vec{} + group, q[v]);
        }
      }
      COPYTRACE_UNROLL(12)
      for (std::size_t r = 0; r < kBlock; ++r) {
        const std::int32_t j = static_cast<std::int32_t>(block * kBlock + r), length = reference_lengths[j];
        COPYTRACE_UNROLL(4)
        for (std::size_t v = 0; v < kVectors; ++v) {
          const Vec d = load(query_lengths + v * kLanes) + length - 2 * sums[r][v];
          const auto nearer = d < best[v];
          next_index[v] = nearer ? index[v] : d < next[v] ? Vec{} + j : next_index[v];
          next[v] = smaller(next[v], nearer ? best[v] : d);
          index[v] = nearer ? Vec{} + j : index[v];
          best[v] = smaller(best[v], d);
          std::int32_t* column = least + j * kPanel + v * kLanes;
          store(column, smaller(load(column), d));
        }
      }
    }
    for (std::size_t v = 0; v < kVectors; ++v) {
      const std::size_t place = panel * kPanel + v * kLanes;
      store(distance + place, best[v]);
      store(row + place, index[v]);
      store(second + place, next[v]);
      store(second_row + place, next_index[v]);
    }
  }
}

// Where numbers have 16 bits, the even bytes of four and the odd ones are multiplied one after the other.
constexpr std::int32_t kEvenBytes = 0x00ff00ff;

void pack_probe(const std::uint8_t* row, std::int32_t* probe) {
  for (std::size_t g = 0; g < kDescriptor / 4; ++g) {
    std::uint32_t four;
    __builtin_memcpy(&four, row + 4 * g, 4);
    if constexpr (sizeof(Number) == 1) {
      probe[g] = static_cast<std::int32_t>(four ^ 0x80808080U);  // minus kShift, each byte for itself
    } else {
      probe[2 * g] = static_cast<std::int32_t>(four & kEvenBytes);
      probe[2 * g + 1] = static_cast<std::int32_t>(four >> 8 & kEvenBytes);
    }
  }
}

std::uint32_t scan_panel(const std::uint8_t* panel, const std::int32_t* lengths, const std::int32_t* probe,
                         std::int32_t limit, std::int32_t* distances) {
  constexpr std::size_t kAcross = kListPanel / kLanes;
  Vec sums[kAcross] = {};
  for (std::size_t g = 0; g < kDescriptor / 4; ++g) {
    COPYTRACE_UNROLL(8)
    for (std::size_t v = 0; v < kAcross; ++v) {
      const Vec bytes = load(panel + (g * kListPanel + v * kLanes) * 4);
      if constexpr (sizeof(Number) == 1) {
        sums[v] = multiply_add(sums[v], bytes, Vec{} + probe[g]);
      } else {
        sums[v] = multiply_add(sums[v], bytes & kEvenBytes, Vec{} + probe[2 * g]);
        sums[v] = multiply_add(sums[v], bytes >> 8 & kEvenBytes, Vec{} + probe[2 * g + 1]);
      }
    }
  }
  std::uint32_t found = 0;
  COPYTRACE_UNROLL(8)
  for (std::size_t v = 0; v < kAcross; ++v) {
    const Vec d = load(lengths + v * kLanes) - 2 * sums[v];
    store(distances + v * kLanes, d);
    found |= bits_up_to(d, limit) << (v * kLanes);
  }
  return found;
}

constexpr NearestKernel make_nearest(const char* name) {
  return {name, kPanel, kBlock, &pack_query, &pack_reference, &find, kShift, &pack_probe, &scan_panel};
}

}  // namespace
}  // namespace copytrace::match
