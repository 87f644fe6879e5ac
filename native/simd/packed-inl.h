// The kernels of simd/packed.h: whole rows in the layouts of packed_layouts-inl.h, which tells what the including file
// defines.
#pragma once

#include "simd/packed_layouts-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// How far ahead to prefetch into the second-level cache, in bytes.
inline constexpr size_t kFar = 11264;

// Group kIndex of a block.
template <size_t kIndex, typename Layout, typename Sink>
inline __attribute__((always_inline)) void coded_group(Layout& layout, const Codes& codes, const uint8_t* raw,
                                                       Sink& sink) {
  raw += kIndex * 64;
  prefetch_far(raw + kFar);
  if (kIndex < packed_code_vectors(Layout::kLayout, Layout::kGroups)) prefetch_far(codes.from + kIndex * 64 + kFar);
  for (size_t part = 0; part < kParts; ++part) {
    const Ops::Bytes first = layout.template first<kIndex>(codes, part);
    const Ops::Bytes coded = Ops::expand(first, Ops::match(first, layout.escape()), layout.escapes());
    Layout::put(raw + part * LPC_VECTOR_BYTES, part, coded, sink);
  }
}

// The first `groups` groups of a block.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void block(Layout& layout, const uint8_t* fixed, size_t first_column,
                                                 size_t groups, Sink& sink) {
  const uint8_t* const raw = fixed + 64 * packed_code_vectors(Layout::kLayout, groups);
  layout.prepare(first_column);
  if constexpr (Layout::kGroups == 2) {
    if (groups > 0) layout.template group<0>(fixed, raw, sink);
    if (groups > 1) layout.template group<1>(fixed, raw + 64, sink);
  } else {
    const Codes codes(fixed, packed_code_vectors(Layout::kLayout, groups));
    if (groups > 0) coded_group<0>(layout, codes, raw, sink);
    if (groups > 1) coded_group<1>(layout, codes, raw, sink);
    if (groups > 2) coded_group<2>(layout, codes, raw, sink);
    if (groups > 3) coded_group<3>(layout, codes, raw, sink);
    if (groups > 4) coded_group<4>(layout, codes, raw, sink);
    if (groups > 5) coded_group<5>(layout, codes, raw, sink);
    if (groups > 6) coded_group<6>(layout, codes, raw, sink);
    if (groups > 7) coded_group<7>(layout, codes, raw, sink);
  }
}

// A block that is cut short by the end of the row, or that is patched: through memory.
template <typename Layout, typename Sink>
__attribute__((noinline)) void slow_block(Layout& layout, const uint8_t* codes, size_t first_column, size_t columns,
                                          Sink& sink) {
  alignas(64) uint16_t decoded[Layout::kGroups * kGroup];
  StoreSink store{reinterpret_cast<uint8_t*>(decoded)};
  block(layout, codes, first_column, packed_groups(columns), store);
  std::memset(decoded + columns, 0, sizeof decoded - 2 * columns);
  sink.put_columns(decoded, columns);
}

// The same on copies: what is passed by reference to another function does not stay in registers.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void aside(Layout& layout, const uint8_t* codes, size_t first_column,
                                                 size_t columns, Sink& sink) {
  Layout layout_copy = layout;
  Sink sink_copy = sink;
  slow_block(layout_copy, codes, first_column, columns, sink_copy);
  layout = layout_copy;
  sink = sink_copy;
}

// The blocks from column `c` on to column `end`, both multiples of a block.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void whole_blocks(Layout& layout, const uint8_t* fixed, size_t c, size_t end,
                                                        Sink& sink) {
  constexpr size_t kColumns = Layout::kGroups * kGroup;
  constexpr size_t kBytes = packed_row_bytes(Layout::kLayout, kColumns);
  for (fixed += c / kColumns * kBytes; c < end; c += kColumns, fixed += kBytes) {
    if constexpr (Layout::kGroups == 2) {
      for (size_t line = 0; line < kBytes; line += 64) prefetch_far(fixed + line + kFar);
      layout.plain_block(fixed, sink);
    } else {
      block(layout, fixed, c, Layout::kGroups, sink);
    }
  }
}

// Returns whether the row's side stream fits its codes.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) bool one_row(Layout& layout, const uint8_t* fixed, size_t columns, Sink& sink) {
  constexpr size_t kColumns = Layout::kGroups * kGroup;
  constexpr size_t kBytes = packed_row_bytes(Layout::kLayout, kColumns);
  if constexpr (Layout::kGroups == 2) {
    for (size_t c = 0; c < columns; c += kColumns) {
      const size_t until = layout.plain_until(columns);
      if (c < until) {
        whole_blocks(layout, fixed, c, until, sink);
        c = until;
      }
      if (c < columns) {
        const size_t rest = columns - c;
        aside(layout, fixed + c / kColumns * kBytes, c, rest < kColumns ? rest : kColumns, sink);
      }
    }
  } else {
    const size_t whole = columns / kColumns * kColumns;
    whole_blocks(layout, fixed, 0, whole, sink);
    if (whole < columns) aside(layout, fixed + columns / kColumns * kBytes, whole, columns - whole, sink);
  }
  return layout.complete();
}

template <typename Layout>
size_t decode_layout(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  const size_t row_bytes = packed_row_bytes(Layout::kLayout, rows.columns);
  typename Layout::Cold cold;
  for (size_t r = begin; r < end; ++r) {
    Layout layout(tables, rows, r, cold);
    StoreSink sink{out + (r - begin) * rows.columns * 2};
    if (!one_row(layout, rows.fixed + r * row_bytes, rows.columns, sink)) return r;
  }
  return end;
}

template <typename Layout>
void dot_layout(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, const float* x,
                float* y) {
  const size_t row_bytes = packed_row_bytes(Layout::kLayout, rows.columns);
  typename Layout::Cold cold;
  for (size_t r = begin; r < end; ++r) {
    Layout layout(tables, rows, r, cold);
    DotSink sink{x};
    one_row(layout, rows.fixed + r * row_bytes, rows.columns, sink);
    y[r] = sink.dot.sum();
  }
}

inline size_t decode_rows(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  switch (tables.layout) {
    case PackedLayout::kE2p3: return decode_layout<TwoLevels<PackedLayout::kE2p3>>(tables, rows, begin, end, out);
    case PackedLayout::kE3p3: return decode_layout<TwoLevels<PackedLayout::kE3p3>>(tables, rows, begin, end, out);
    case PackedLayout::kHi3: return decode_layout<Hi3>(tables, rows, begin, end, out);
    case PackedLayout::kHi4p: return decode_layout<Hi4p>(tables, rows, begin, end, out);
  }
  return begin;
}

inline void dot_rows(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, const float* x,
                     float* y) {
  switch (tables.layout) {
    case PackedLayout::kE2p3: return dot_layout<TwoLevels<PackedLayout::kE2p3>>(tables, rows, begin, end, x, y);
    case PackedLayout::kE3p3: return dot_layout<TwoLevels<PackedLayout::kE3p3>>(tables, rows, begin, end, x, y);
    case PackedLayout::kHi3: return dot_layout<Hi3>(tables, rows, begin, end, x, y);
    case PackedLayout::kHi4p: return dot_layout<Hi4p>(tables, rows, begin, end, x, y);
  }
}

extern const PackedKernels packed;
const PackedKernels packed = {decode_rows, dot_rows};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
