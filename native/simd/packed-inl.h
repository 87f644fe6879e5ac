// The kernels of simd/packed.h: whole rows, in any layout. See packed_layouts-inl.h for what the including file defines.
#pragma once

#include "simd/packed_blocks-inl.h"
#include "simd/packed_hi4p-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kDecodeAhead = 11264;  // bytes

template <typename Decoder>
size_t decode_with(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  constexpr size_t kColumns = Decoder::kColumns, kBytes = Decoder::kBytes;
  const size_t row_bytes = packed_row_bytes(Decoder::kLayout, rows.columns);
  const Ahead ahead{kDecodeAhead, rows.fixed + end * row_bytes, nullptr};
  Decoder decoder(tables);
  typename Decoder::Row row, idle;
  idle.idle();
  StoreSink sink{out};
  for (size_t r = begin; r < end; ++r) {
    const uint8_t* at = rows.fixed + r * row_bytes;
    row.open(tables, rows, r);
    row.prefetch_ahead(1);
    const size_t blocks = row.unchecked ? rows.columns / kColumns : 0;
    if (blocks > 0) {
      decoder.begin({&row, at});
      decoder.add(row, at, blocks, {&idle, at}, ahead, sink);
      decoder.end();
    }
    at += blocks * kBytes;
    for (size_t c = blocks * kColumns; c < rows.columns; c += kColumns, at += kBytes) {
      decoder.add_checked(row, at, rows.columns - c < kColumns ? rows.columns - c : kColumns, sink);
    }
    if (!row.complete()) return r;  // its side stream does not fit its codes
  }
  return end;
}

// Some rows, multiplied together.
template <typename Decoder>
struct Together {
  using Position = typename Decoder::Position;

  typename Decoder::Row rows[Decoder::kRowsTogether], idle;
  Dot dots[Decoder::kRowsTogether];
  size_t count;
  const uint8_t* fixed;  // of the first
  size_t row_bytes;
  size_t columns;

  bool unchecked() const {
    bool all = true;
    for (size_t i = 0; i < count; ++i) all &= rows[i].unchecked;
    return all;
  }

  // `blocks` blocks of each row, piece by piece, so that a piece of the activations serves all rows.
  inline __attribute__((always_inline)) void add(Decoder& decoder, size_t blocks, size_t piece, const Ahead& ahead,
                                                 const float* x) {
    decoder.begin({&rows[0], fixed});
    for (size_t b = 0; b < blocks; b += piece) {
      const size_t some = blocks - b < piece ? blocks - b : piece;
      const uint8_t* at = fixed + b * Decoder::kBytes;
      const Position next_piece{b + some < blocks ? &rows[0] : &idle, b + some < blocks ? at + some * Decoder::kBytes : at};
      for (size_t i = 0; i < count; ++i, at += row_bytes) {
        const bool last = i + 1 == count;
        DotSink sink{x + b * Decoder::kColumns, dots[i]};
        const Position next = last ? next_piece : Position{&rows[i + 1], at + row_bytes};
        decoder.add(rows[i], at, some, next, ahead, sink);
        dots[i] = sink.dot;
      }
    }
    decoder.end();
  }

  // Row i from block `done` on.
  void add_rest(const Decoder& decoder, size_t i, size_t done, const Ahead& ahead, const float* x) {
    constexpr size_t kColumns = Decoder::kColumns;
    const uint8_t* at = fixed + i * row_bytes + done * Decoder::kBytes;
    for (size_t byte = done * Decoder::kBytes; byte < row_bytes; byte += 64) {
      prefetch_far(ahead.from(at) + byte - done * Decoder::kBytes);
    }
    DotSink sink{x + done * kColumns, dots[i]};
    for (size_t c = done * kColumns; c < columns; c += kColumns, at += Decoder::kBytes) {
      decoder.add_checked(rows[i], at, columns - c < kColumns ? columns - c : kColumns, sink);
    }
    dots[i] = sink.dot;
  }
};

// Longer rows are multiplied in pieces: their activations do not fit the first-level cache.
inline constexpr size_t kMostColumns = 6144;
inline constexpr size_t kPieceColumns = 2048;

template <typename Decoder>
void dot_with(const PackedTables& tables, const PackedRun& run, const PackedAhead& follow, const float* x, float* y) {
  const PackedRows& rows = run.rows;
  const size_t row_bytes = packed_row_bytes(Decoder::kLayout, rows.columns);
  const size_t blocks = rows.columns / Decoder::kColumns;
  const bool in_pieces = Decoder::kInPieces && rows.columns > kMostColumns;
  const size_t piece = in_pieces ? kPieceColumns / Decoder::kColumns : blocks;
  const PackedRun* const next = follow.next;
  const Ahead ahead{in_pieces ? Decoder::kRowsTogether * row_bytes : follow.bytes, rows.fixed + run.end * row_bytes,
                    next != nullptr ? next->rows.fixed + next->begin * row_bytes : nullptr};
  Decoder decoder(tables);
  Together<Decoder> some;
  some.row_bytes = row_bytes;
  some.columns = rows.columns;
  some.idle.idle();
  for (size_t r = run.begin; r < run.end; r += some.count) {
    some.count = Decoder::kRowsTogether < run.end - r ? Decoder::kRowsTogether : run.end - r;
    some.fixed = rows.fixed + r * row_bytes;
    for (size_t i = 0; i < some.count; ++i) {
      some.rows[i].open(tables, rows, r + i);
      some.rows[i].prefetch_ahead(some.count);
      some.dots[i] = Dot();
    }
    const size_t done = some.unchecked() ? blocks : 0;
    if (done > 0) some.add(decoder, done, piece, ahead, x);
    for (size_t i = 0; i < some.count; ++i) {
      some.add_rest(decoder, i, done, ahead, x);
      y[r + i] = some.dots[i].sum();
    }
  }
}

inline size_t decode_rows(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  switch (tables.layout) {
    case PackedLayout::kE2p3: return decode_with<Blocks<TwoLevels<PackedLayout::kE2p3>>>(tables, rows, begin, end, out);
    case PackedLayout::kE3p3: return decode_with<Blocks<TwoLevels<PackedLayout::kE3p3>>>(tables, rows, begin, end, out);
    case PackedLayout::kHi3: return decode_with<Blocks<Hi3>>(tables, rows, begin, end, out);
    case PackedLayout::kHi4p: return decode_with<Hi4p>(tables, rows, begin, end, out);
  }
  return begin;
}

inline void dot_rows(const PackedTables& tables, const PackedRun& run, const PackedAhead& follow, const float* x,
                     float* y) {
  switch (tables.layout) {
    case PackedLayout::kE2p3: return dot_with<Blocks<TwoLevels<PackedLayout::kE2p3>>>(tables, run, follow, x, y);
    case PackedLayout::kE3p3: return dot_with<Blocks<TwoLevels<PackedLayout::kE3p3>>>(tables, run, follow, x, y);
    case PackedLayout::kHi3: return dot_with<Blocks<Hi3>>(tables, run, follow, x, y);
    case PackedLayout::kHi4p: return dot_with<Hi4p>(tables, run, follow, x, y);
  }
}

extern const PackedKernels packed;
const PackedKernels packed = {decode_rows, dot_rows};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
