// Where the parts of a packed segment lie (docs/format.md, 4.3).
#pragma once

#include "codecs/codec.h"
#include "codecs/layout.h"
#include "simd/packed/packed.h"

namespace lpc::packed {

struct Layout {
  Layout(PackedLayout layout, const SegmentShape& shape)
      : columns(shape.row_bytes / 2),
        table_entries(packed_table_entries(layout, shape.rows)),
        fixed_offset(align_up(4 * table_entries, kSegmentAlignment)),
        side_offset(fixed_offset + shape.rows * packed_row_bytes(layout, columns)) {}

  size_t columns;
  size_t table_entries;
  size_t fixed_offset;
  size_t side_offset;
};

// Checks the sizes and the row table of a segment. Throws LPC_FORMAT_ERROR.
PackedRows open_segment(const PackedTables& tables, const SegmentShape& shape, Bytes stored);

}  // namespace lpc::packed
