// Kernels of the `packed` codec (docs/format.md, 4.3): bf16 weights decoded to memory, or in registers straight into a
// product. Rows are cut into groups of 64 columns; all vectors of a row are 64 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

enum class PackedLayout : uint8_t { kE2p3 = 1, kHi4p = 3, kHi3 = 4, kE3p3 = 5 };

inline constexpr size_t kPackedGroup = 64;    // columns
inline constexpr size_t kPackedPadding = 64;  // bytes after the side stream that kernels may read

constexpr size_t packed_groups(size_t columns) { return columns / kPackedGroup + (columns % kPackedGroup != 0); }

// Position within its group at which column `column` of the group is stored: 8 columns of the first half and 8 of the
// second take turns, so that interleaving two vectors of any width gives columns in order.
constexpr size_t packed_position(size_t column) { return column % 32 / 8 * 16 + column / 32 * 8 + column % 8; }

// Groups that share code vectors.
constexpr size_t packed_groups_per_block(PackedLayout layout) { return layout == PackedLayout::kHi4p ? 2 : 8; }

// Code vectors of a block of `groups` groups.
constexpr size_t packed_code_vectors(PackedLayout layout, size_t groups) {
  switch (layout) {
    case PackedLayout::kE2p3: return (groups + 3) / 4;
    case PackedLayout::kE3p3:
    case PackedLayout::kHi3: return groups > 5 ? 3 : (groups + 1) / 2;
    case PackedLayout::kHi4p: return (groups + 1) / 2;
  }
  return 0;
}

// Bytes of a row without its side stream.
constexpr size_t packed_row_bytes(PackedLayout layout, size_t columns) {
  const size_t groups = packed_groups(columns);
  const size_t per_block = packed_groups_per_block(layout);
  const size_t vectors = groups / per_block * packed_code_vectors(layout, per_block) +
                         packed_code_vectors(layout, groups % per_block) + groups;
  return vectors * 64;
}

// Long rows may lie piece after piece: a product then reads them in the order in which they lie, while the activations
// of a piece fit the first-level cache.
inline constexpr size_t kPackedPiece = 4096;  // columns, the last piece of a row may have fewer

// How the rows of a segment lie.
struct PackedOrder {
  size_t rows = 0;
  size_t columns = 0;
  bool in_pieces = false;

  // Columns of a row that lie together.
  constexpr size_t piece() const { return in_pieces ? kPackedPiece : columns; }
  // From one row to the next within the piece that begins at `column`, in bytes.
  constexpr size_t stride(PackedLayout layout, size_t column) const {
    return packed_row_bytes(layout, columns - column < piece() ? columns - column : piece());
  }
  // Where the block of row `row` that begins at `column` lies, in bytes.
  constexpr size_t offset(PackedLayout layout, size_t row, size_t column) const {
    const size_t begin = in_pieces ? column / kPackedPiece * kPackedPiece : 0;
    return rows * packed_row_bytes(layout, begin) + row * stride(layout, begin) +
           packed_row_bytes(layout, column - begin);
  }
};

// Entries of the row table: where the parts of each row's side stream begin, and where the last one ends.
constexpr size_t packed_parts_per_row(PackedLayout layout) {
  return layout == PackedLayout::kE2p3 || layout == PackedLayout::kE3p3 ? 2 : 1;
}
constexpr size_t packed_table_entries(PackedLayout layout, size_t rows) {
  return packed_parts_per_row(layout) * rows + 1;
}

// Whether codes stand for high bytes, not for exponents.
constexpr bool packed_codes_high_bytes(PackedLayout layout) {
  return layout == PackedLayout::kHi4p || layout == PackedLayout::kHi3;
}

// What the codes of a tensor stand for. Escape codes stand for a value that no other code of the level has.
struct PackedTables {
  PackedLayout layout = PackedLayout::kE2p3;
  bool in_pieces = false;
  alignas(16) uint8_t level1[16] = {};
  alignas(16) uint8_t level2[16] = {};  // e2+3 and e3+3
  uint8_t escape1 = 0;                  // all but hi4p
  uint8_t escape2 = 0;                  // e2+3 and e3+3
};

// The rows of one segment. The table is checked: no entry smaller than the one before, and the last one ends the side
// stream, after which kPackedPadding bytes can be read. Whatever the other bytes are, kernels stay within these.
struct PackedRows {
  const uint8_t* table = nullptr;  // u32, any alignment
  const uint8_t* fixed = nullptr;
  const uint8_t* side = nullptr;
  size_t side_bytes = 0;
  PackedOrder order;
};

// Some of a segment's rows.
struct PackedRun {
  PackedRows rows;
  size_t begin = 0;
  size_t end = 0;
};

// What is prefetched while a run is multiplied.
struct PackedAhead {
  size_t bytes;           // after the weights that are used
  const PackedRun* next;  // what the same thread will most likely multiply next, of the same matrix; may be null
  bool first = false;     // whether nothing of the run was prefetched while another one was multiplied
};

struct PackedKernels {
  // Decodes rows [begin, end) to `out` (dense bf16, any alignment). Returns `end`, or the first row whose side stream
  // does not fit its codes; rows from that one on are then undefined.
  size_t (*decode)(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out);
  // y[r] = row r . x, for the rows of the run; x as DotKernels::arrange leaves it. The same bits as
  // DotKernels::rows_bf16 gives for the decoded rows.
  void (*dot)(const PackedTables& tables, const PackedRun& run, const PackedAhead& ahead, const float* x, float* y);
};

// The kernels of active_isa().
const PackedKernels& packed_kernels();

}  // namespace lpc
