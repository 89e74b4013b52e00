// Nearest rows between two sets of descriptors, uint8 [F, 128] each, by whole squared distances.
//
// One implementation per instruction set; all give the same numbers, since nothing is rounded.
#pragma once
#include <cstddef>
#include <cstdint>

namespace copytrace::match {

inline constexpr std::size_t kDescriptor = 128;
// Above every distance, which is below 2^24; twice it still fits in 32 bits.
inline constexpr std::int32_t kNoDistance = 1 << 29;
// Rows of a list that lie together: the first four bytes of every row, then the next four, and so on.
inline constexpr std::size_t kListPanel = 32;

struct NearestKernel {
  const char* name;
  std::size_t panel;  // query rows worked on together
  std::size_t block;  // reference rows worked on together
  // Rows in the order of `bins`, packed into panels, with their squared lengths; rows up to the next whole panel are 0
  // and their lengths kNoDistance. packed: bytes of packed_bytes(rows), lengths: whole panels.
  void (*pack_query)(const std::uint8_t* rows, std::size_t count, const std::uint8_t* bins, std::uint8_t* packed,
                     std::int32_t* lengths);
  // The same for a reference, up to the next whole block. The lengths are shifted as the kernel needs them.
  void (*pack_reference)(const std::uint8_t* rows, std::size_t count, std::uint8_t* packed, std::int32_t* lengths);
  // distance, row, second, second_row: whole panels, the first of equal rows first; least: `panel` numbers for each of
  // the reference's rows, in whole blocks.
  void (*find)(const std::uint8_t* query, const std::int32_t* query_lengths, std::size_t panels,
               const std::uint8_t* reference, const std::int32_t* reference_lengths, std::size_t blocks,
               std::int32_t* distance, std::int32_t* row, std::int32_t* second, std::int32_t* second_row,
               std::int32_t* least);
  // What the kernel subtracts from a query's numbers; a listed row's length is to be made smaller by twice that many
  // times its sum.
  std::int32_t shift;
  // One query row as `scan_panel` takes it, 2 * 32 numbers.
  void (*pack_probe)(const std::uint8_t* row, std::int32_t* probe);
  // Squared distances of the query row to those of a panel, less the query row's squared length; bits of those up to
  // `limit`.
  std::uint32_t (*scan_panel)(const std::uint8_t* panel, const std::int32_t* lengths, const std::int32_t* probe,
                              std::int32_t limit, std::int32_t* distances);
};

// Bytes of `count` packed rows, two for each number at most, up to a multiple of `step` rows.
inline std::size_t whole(std::size_t count, std::size_t step) { return (count + step - 1) / step * step; }
inline std::size_t packed_bytes(std::size_t count, std::size_t step) { return 2 * kDescriptor * whole(count, step); }

const NearestKernel& nearest_plain();
#if defined(__x86_64__)
const NearestKernel& nearest_avx2();
const NearestKernel& nearest_avx512();
const NearestKernel& nearest_vnni();
#endif

}  // namespace copytrace::match
