// The kernels of simd/packed.h: whole rows in the layouts of packed_layouts-inl.h, which tells what the including file
// defines.
#pragma once

#include "simd/packed_hi4p-inl.h"
#include "simd/packed_layouts-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// How far ahead to prefetch into the second-level cache, in bytes.
inline constexpr size_t kFar = 11264;

// Groups of a block are decoded so many groups before they are used, so that a core has several under way however long
// each takes (AMD Zen 4: 11.6 cycles a group in order, 9.9 with three ahead). Shorter vectors would need more registers
// than there are.
inline constexpr size_t kAhead = kParts == 1 ? 3 : 0;

// A decoded group: its bytes of exponents, or its high bytes.
struct Coded {
  Ops::Bytes parts[kParts];
};

template <size_t kIndex, bool kUnchecked, typename Layout>
inline __attribute__((always_inline)) Coded coded_group(Layout& layout, const Codes& codes) {
  Coded out;
  for (size_t part = 0; part < kParts; ++part) {
    const Ops::Bytes first = layout.template first<kIndex>(codes, part);
    const Ops::Mask escaped = Ops::match(first, layout.escape());
    if constexpr (kUnchecked) {
      UncheckedStream escapes(layout.escapes());
      out.parts[part] = Ops::expand(first, escaped, escapes);
      if constexpr (kAhead > 0) out.parts[part] = in_register(out.parts[part]);  // now, not when it is used
    } else {
      out.parts[part] = Ops::expand(first, escaped, layout.escapes());
    }
  }
  return out;
}

template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void put_group(const uint8_t* raw, const Coded& coded, Sink& sink) {
  for (size_t part = 0; part < kParts; ++part) {
    Layout::put(raw + part * LPC_VECTOR_BYTES, part, coded.parts[part], sink);
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
    if (groups > 0) put_group<Layout>(raw, coded_group<0, false>(layout, codes), sink);
    if (groups > 1) put_group<Layout>(raw + 64, coded_group<1, false>(layout, codes), sink);
    if (groups > 2) put_group<Layout>(raw + 128, coded_group<2, false>(layout, codes), sink);
    if (groups > 3) put_group<Layout>(raw + 192, coded_group<3, false>(layout, codes), sink);
    if (groups > 4) put_group<Layout>(raw + 256, coded_group<4, false>(layout, codes), sink);
    if (groups > 5) put_group<Layout>(raw + 320, coded_group<5, false>(layout, codes), sink);
    if (groups > 6) put_group<Layout>(raw + 384, coded_group<6, false>(layout, codes), sink);
    if (groups > 7) put_group<Layout>(raw + 448, coded_group<7, false>(layout, codes), sink);
  }
}

// A block that is cut short by the end of the row: through memory.
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

// Group kIndex of the block at `fixed` is used, and the one kAhead groups later decoded: of the next block, if there
// are `more`.
template <size_t kIndex, typename Layout, typename Sink>
inline __attribute__((always_inline)) void step(Layout& layout, const uint8_t* fixed, const uint8_t* far, bool more,
                                                Codes& codes, Coded (&under_way)[kAhead + 1], Sink& sink) {
  constexpr size_t kVectors = packed_code_vectors(Layout::kLayout, 8);
  constexpr size_t kDecoded = kIndex + kAhead;
  if (kDecoded < 8 || more) {
    if constexpr (kDecoded % 8 == 0) {
      layout.prepare(0);
      codes = Codes(fixed + kDecoded / 8 * (8 + kVectors) * 64, kVectors);
    }
    under_way[kAhead] = coded_group<kDecoded % 8, true>(layout, codes);
  }
  const uint8_t* const raw = fixed + (kVectors + kIndex) * 64;
  prefetch_far(far + kIndex * 64);
  if (kIndex < kVectors) prefetch_far(far + (8 + kIndex) * 64);
  put_group<Layout>(raw, under_way[0], sink);
#pragma GCC unroll 4
  for (size_t i = 0; i < kAhead; ++i) under_way[i] = under_way[i + 1];
}

// Whole blocks, with escapes that may be taken without looking for their end.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void unchecked_blocks(Layout& layout, const uint8_t* fixed, const uint8_t* far,
                                                            size_t count, Sink& sink) {
  constexpr size_t kBytes = packed_row_bytes(Layout::kLayout, 8 * kGroup);
  constexpr size_t kVectors = packed_code_vectors(Layout::kLayout, 8);
  if (count == 0) return;
  Coded under_way[kAhead + 1];
  Codes codes(fixed, kVectors);
  if constexpr (kAhead > 0) {
    layout.prepare(0);
    under_way[0] = coded_group<0, true>(layout, codes);
    under_way[1] = coded_group<1, true>(layout, codes);
    under_way[2] = coded_group<2, true>(layout, codes);
  }
  for (; count > 0; fixed += kBytes, far += kBytes) {
    const bool more = --count > 0;
    step<0>(layout, fixed, far, more, codes, under_way, sink);
    step<1>(layout, fixed, far, more, codes, under_way, sink);
    step<2>(layout, fixed, far, more, codes, under_way, sink);
    step<3>(layout, fixed, far, more, codes, under_way, sink);
    step<4>(layout, fixed, far, more, codes, under_way, sink);
    step<5>(layout, fixed, far, more, codes, under_way, sink);
    step<6>(layout, fixed, far, more, codes, under_way, sink);
    step<7>(layout, fixed, far, more, codes, under_way, sink);
  }
}

// Columns [c, end) in the layouts with two groups a block.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void patched_columns(Layout& layout, const uint8_t* fixed, const uint8_t* far,
                                                           size_t c, size_t end, Sink& sink) {
  constexpr size_t kColumns = Layout::kGroups * kGroup;
  constexpr size_t kBytes = packed_row_bytes(Layout::kLayout, kColumns);
  size_t until = layout.plain_until(end);
  for (; c < end; c += kColumns, fixed += kBytes, far += kBytes) {
    for (size_t line = 0; line < kBytes; line += 64) prefetch_far(far + line);
    if (c < until) {
      layout.plain_block(fixed, sink);
      continue;
    }
    if (end - c >= kColumns) {
      layout.prepare(c);
      layout.patched_block(fixed, sink);
    } else {
      aside(layout, fixed, c, end - c, sink);
    }
    until = layout.plain_until(end);
  }
}

// Columns [c, end) of a row, c a multiple of a block, which are stored from `fixed` on. Prefetches as much from `far`.
template <typename Layout, typename Sink>
inline __attribute__((always_inline)) void some_columns(Layout& layout, const uint8_t* fixed, const uint8_t* far,
                                                        size_t c, size_t end, Sink& sink) {
  if constexpr (Layout::kGroups == 2) {
    patched_columns(layout, fixed, far, c, end, sink);
  } else {
    constexpr size_t kColumns = Layout::kGroups * kGroup;
    constexpr size_t kBytes = packed_row_bytes(Layout::kLayout, kColumns);
    const size_t whole = layout.unchecked() ? (end - c) / kColumns : 0;
    unchecked_blocks(layout, fixed, far, whole, sink);
    fixed += whole * kBytes;
    for (c += whole * kColumns; c < end; c += kColumns, fixed += kBytes) {
      aside(layout, fixed, c, end - c < kColumns ? end - c : kColumns, sink);
    }
  }
}

template <typename Layout>
size_t decode_layout(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  const size_t row_bytes = packed_row_bytes(Layout::kLayout, rows.columns);
  typename Layout::Cold cold;
  for (size_t r = begin; r < end; ++r) {
    const uint8_t* const fixed = rows.fixed + r * row_bytes;
    Layout layout(tables, rows, r, cold);
    StoreSink sink{out + (r - begin) * rows.columns * 2};
    some_columns(layout, fixed, fixed + kFar, 0, rows.columns, sink);
    if (!layout.complete()) return r;  // its side stream does not fit its codes
  }
  return end;
}

// The row about kFar bytes after row `r` of the run: of the next run, where this one has no more. Null at the end.
inline const uint8_t* row_ahead(const PackedRun& run, const PackedRun* next, size_t r, size_t row_bytes) {
  r += (kFar + row_bytes - 1) / row_bytes;
  if (r < run.end) return run.rows.fixed + r * row_bytes;
  r -= run.end;
  return next != nullptr && r < next->end - next->begin ? next->rows.fixed + (next->begin + r) * row_bytes : nullptr;
}

template <typename Layout>
void dot_rows_whole(const PackedTables& tables, const PackedRun& run, const PackedRun* next, const float* x, float* y) {
  const PackedRows& rows = run.rows;
  const size_t row_bytes = packed_row_bytes(Layout::kLayout, rows.columns);
  typename Layout::Cold cold;
  for (size_t r = run.begin; r < run.end; ++r) {
    const uint8_t* const fixed = rows.fixed + r * row_bytes;
    const uint8_t* const far = row_ahead(run, next, r, row_bytes);
    Layout layout(tables, rows, r, cold);
    DotSink sink{x, Dot()};
    some_columns(layout, fixed, far != nullptr ? far : fixed, 0, rows.columns, sink);
    y[r] = sink.dot.sum();
  }
}

// A row that is multiplied piece by piece.
template <typename Layout>
struct RowUnderWay {
  Layout layout;
  Dot dot;

  __attribute__((noinline)) void add(const uint8_t* fixed, const uint8_t* far, size_t c, size_t end, const float* x) {
    Layout layout_here = layout;
    DotSink sink{x + c, dot};
    some_columns(layout_here, fixed, far, c, end, sink);
    layout = layout_here;
    dot = sink.dot;
  }
};

// Rows whose activations do not fit the first-level cache are taken piece by piece, some together, so that a piece of
// the activations serves all of them. The same pieces of the rows to follow are prefetched.
inline constexpr size_t kMostColumns = 6144;
inline constexpr size_t kMostPieceColumns = 4096;
inline constexpr size_t kTogether = 16;

template <typename Layout>
void dot_rows_in_pieces(const PackedTables& tables, const PackedRun& run, const PackedRun* next, const float* x,
                        float* y) {
  const PackedRows& rows = run.rows;
  const size_t row_bytes = packed_row_bytes(Layout::kLayout, rows.columns);
  typename Layout::Cold cold[kTogether];
  RowUnderWay<Layout> under_way[kTogether];
  for (size_t r = run.begin; r < run.end; r += kTogether) {
    const size_t count = kTogether < run.end - r ? kTogether : run.end - r;
    const uint8_t* const fixed = rows.fixed + r * row_bytes;
    const uint8_t* far = fixed;
    if (r + kTogether < run.end) far = fixed + kTogether * row_bytes;
    if (r + kTogether >= run.end && next != nullptr) far = next->rows.fixed + next->begin * row_bytes;
    for (size_t i = 0; i < count; ++i) {
      under_way[i].layout = Layout(tables, rows, r + i, cold[i]);
      under_way[i].dot = Dot();
    }
    for (size_t c = 0; c < rows.columns; c += kMostPieceColumns) {
      const size_t end = c + kMostPieceColumns < rows.columns ? c + kMostPieceColumns : rows.columns;
      const size_t offset = packed_row_bytes(Layout::kLayout, c);
      for (size_t i = 0; i < count; ++i) {
        under_way[i].add(fixed + i * row_bytes + offset, far + i * row_bytes + offset, c, end, x);
      }
    }
    for (size_t i = 0; i < count; ++i) y[r + i] = under_way[i].dot.sum();
  }
}

template <typename Layout>
void dot_layout(const PackedTables& tables, const PackedRun& run, const PackedRun* next, const float* x, float* y) {
  if constexpr (Layout::kInPieces) {
    if (run.rows.columns > kMostColumns) return dot_rows_in_pieces<Layout>(tables, run, next, x, y);
  }
  dot_rows_whole<Layout>(tables, run, next, x, y);
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

inline void dot_rows(const PackedTables& tables, const PackedRun& run, const PackedRun* next, const float* x,
                     float* y) {
  switch (tables.layout) {
    case PackedLayout::kE2p3: return dot_layout<TwoLevels<PackedLayout::kE2p3>>(tables, run, next, x, y);
    case PackedLayout::kE3p3: return dot_layout<TwoLevels<PackedLayout::kE3p3>>(tables, run, next, x, y);
    case PackedLayout::kHi3: return dot_layout<Hi3>(tables, run, next, x, y);
    case PackedLayout::kHi4p: return dot_layout<Hi4p>(tables, run, next, x, y);
  }
}

extern const PackedKernels packed;
const PackedKernels packed = {decode_rows, dot_rows};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
