// Where the parts of a `bitmap` segment and of its parameters lie (docs/format.md, 4.4).
#pragma once

#include "codecs/codec.h"
#include "codecs/layout.h"

namespace lpc::bitmap {

inline constexpr size_t kInnerCodecOffset = 0;  // in the parameters
inline constexpr size_t kParamsBytes = 8;       // before those of the inner codec

inline constexpr size_t kNonZerosOffset = 0;
inline constexpr size_t kInnerEncodingOffset = 4;
inline constexpr size_t kReservedOffset = 5;
inline constexpr size_t kRowTableOffset = 8;

struct Layout {
  explicit Layout(const SegmentShape& shape)
      : element_bytes(dtype_bytes(shape.dtype)),
        columns(shape.row_bytes / element_bytes),
        row_bitmap_bytes(ceil_div(columns, 8)),
        bitmap_offset(kRowTableOffset + 4 * shape.rows),
        inner_offset(align_up(bitmap_offset + shape.rows * row_bitmap_bytes, kSegmentAlignment)) {}

  size_t element_bytes;
  size_t columns;
  size_t row_bitmap_bytes;
  size_t bitmap_offset;
  size_t inner_offset;
};

// The non-zeros of a segment as a segment of their own: one row.
inline SegmentShape inner_shape(const SegmentShape& shape, uint64_t non_zeros) {
  return {shape.dtype, 1, non_zeros * dtype_bytes(shape.dtype)};
}

// Checks a segment whose non-zeros are stored as they are: its sizes, and that the row table tells what the bitmap
// does. Throws LPC_FORMAT_ERROR.
void check_plain_segment(const SegmentShape& shape, Bytes stored);

}  // namespace lpc::bitmap
