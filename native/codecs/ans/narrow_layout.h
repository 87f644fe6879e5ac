// Where the parts of a narrow `ans` segment lie (docs/format.md, 4.2).
#pragma once

#include <algorithm>

#include "codecs/codec.h"
#include "codecs/layout.h"
#include "simd/ans/ans.h"
#include "simd/split/split.h"

namespace lpc::ans::narrow {

inline constexpr size_t kByteCountOffset = 0;
inline constexpr size_t kEscapeCountOffset = 4;
inline constexpr size_t kTableCountOffset = 8;
inline constexpr size_t kReservedOffset = 10;
inline constexpr size_t kStatesOffset = 64;
inline constexpr size_t kRawOffset = kStatesOffset + 2 * AnsNarrow::kStates;

inline constexpr size_t kBlock = 16384;  // elements that share a table
inline constexpr size_t kMaxTables = 256;
inline constexpr size_t kTableBytes = 32;
inline constexpr size_t kTableReservedOffset = 15;  // within a table
inline constexpr size_t kFrequencyOffset = 16;

// Low bits of the code byte that are not coded, but kept as bit planes.
constexpr size_t plane_count(uint32_t dtype) { return dtype == LPC_DTYPE_FP16 ? kFp16Planes : 0; }

struct Layout {
  explicit Layout(const SegmentShape& shape)
      : elements(shape.elements()),
        plane_bytes(ceil_div(elements, 8)),
        blocks(ceil_div(elements, kBlock)),
        planes_offset(kRawOffset + raw_arrays(shape.dtype) * elements),
        blocks_offset(planes_offset + plane_count(shape.dtype) * plane_bytes),
        tables_offset(blocks_offset + blocks) {}

  size_t bytes_offset(size_t tables) const { return tables_offset + kTableBytes * tables; }

  size_t elements;
  size_t plane_bytes;
  size_t blocks;
  size_t planes_offset;
  size_t blocks_offset;
  size_t tables_offset;
};

}  // namespace lpc::ans::narrow
