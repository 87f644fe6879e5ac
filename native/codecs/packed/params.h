// The parameters of a packed tensor: layout and tables (docs/format.md, 4.3).
#pragma once

#include "codecs/codec.h"
#include "simd/packed/packed.h"

namespace lpc::packed {

inline constexpr size_t kParamsBytes = 32;
inline constexpr size_t kOrderOffset = 1;
inline constexpr size_t kLevel1Offset = 8;
inline constexpr size_t kLevel2Offset = 24;
inline constexpr uint64_t kMaxHi4pColumns = uint64_t{1} << 24;  // what a list entry can name

// Longer rows are cut into pieces where their layout allows it: their activations do not fit a first-level cache.
inline constexpr size_t kMostWholeColumns = 6144;

// How many values the codes of a level stand for; the next code, where there is one, is the escape.
constexpr size_t level1_values(PackedLayout layout) {
  return layout == PackedLayout::kHi4p ? 16 : (layout == PackedLayout::kE2p3 ? 3 : 7);
}
constexpr size_t level2_values(PackedLayout layout) { return packed_parts_per_row(layout) == 2 ? 7 : 0; }

// Tables of the layout, or of the smallest one, for these bf16 values in rows of `columns`.
std::vector<uint8_t> choose_params(Bytes src, size_t columns, const PackedLayout* layout);

// Throws LPC_FORMAT_ERROR.
void check_params(Bytes params);

// The layout that products are computed from quickest with active_isa(): hi3 needs byte expansion.
PackedLayout fastest_layout();

// Of checked parameters.
PackedTables read_tables(Bytes params);

}  // namespace lpc::packed
