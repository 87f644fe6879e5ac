// The kernels of simd/packed.h: whole rows, in any layout. See packed_layouts-inl.h for what the including file
// defines.
#pragma once

#include "simd/packed_blocks-inl.h"
#include "simd/packed_hi4p-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// What is prefetched while rows are decoded to memory.
inline constexpr size_t kDecodeAhead = 11264;  // bytes
inline constexpr size_t kSideRows = 8;

// The side stream of some rows: it is read too slowly for a core to notice that it is a stream.
class SideAhead {
 public:
  SideAhead() = default;
  SideAhead(PackedLayout layout, const PackedRows& rows, size_t begin, size_t end)
      : side_(rows.side),
        count_(end - begin),
        first_(rows.table + 4 * packed_parts_per_row(layout) * begin),
        last_(rows.table + 4 * packed_parts_per_row(layout) * end) {
    for (const uint8_t* entry = first_; entry < last_ + 64; entry += 64) prefetch_far(entry);
  }

  // What row i of them needs, more or less.
  void prefetch(size_t i) {
    if (i >= count_) return;
    if (row_bytes_ == 0) {  // now that the entries are there
      row_bytes_ = (load_u32(last_) - load_u32(first_)) / count_ + 1;
      side_ += load_u32(first_);
    }
    const uint8_t* const from = side_ + i * row_bytes_;
    for (size_t byte = 0; byte < row_bytes_; byte += 64) prefetch_far(from + byte);
  }

 private:
  const uint8_t* side_ = nullptr;
  size_t count_ = 0;
  size_t row_bytes_ = 0;            // on average; 0: not known yet
  const uint8_t* first_ = nullptr;  // entries of the row table
  const uint8_t* last_ = nullptr;
};

template <typename Decoder>
size_t decode_with(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  constexpr PackedLayout kLayout = Decoder::kLayout;
  constexpr size_t kColumns = Decoder::kColumns;
  const PackedOrder& order = rows.order;
  const Ahead ahead{kDecodeAhead, rows.fixed + order.rows * packed_row_bytes(kLayout, order.columns), nullptr};
  const Decoder checked(tables);
  SideEnd side_end;
  typename Decoder::Row row, idle;
  idle.idle(side_end);
  StoreSink sink{out};
  for (size_t r = begin; r < end; ++r) {
    row.open(tables, rows, r, side_end);
    if (r + kSideRows < end) SideAhead(kLayout, rows, r + kSideRows, r + kSideRows + 1).prefetch(0);
    size_t c = 0;
    for (const size_t whole = row.unchecked ? Decoder::whole(order.columns) : 0; c < whole;) {
      const size_t some = whole - c < order.piece() ? whole - c : order.piece();
      const uint8_t* const at = rows.fixed + order.offset(kLayout, r, c);
      Decoder decoder(tables);  // nothing else has its address, so that it stays in registers
      decoder.begin({&row, at});
      decoder.add(row, at, some, {&idle, at}, ahead, sink);
      decoder.end();
      c += some;
    }
    for (; c < order.columns; c += kColumns) {
      const size_t some = order.columns - c < kColumns ? order.columns - c : kColumns;
      checked.add_checked(row, rows.fixed + order.offset(kLayout, r, c), some, sink);
    }
    if (!row.complete()) return r;  // its side stream does not fit its codes
  }
  return end;
}

// Rows of a run, some at a time.
template <typename Decoder>
class Product {
 public:
  Product(const PackedTables& tables, const PackedRun& run, const PackedAhead& ahead, const float* x)
      : tables_(tables), rows_(run.rows), end_(run.end), ahead_(ahead), x_(x) {
    idle_.idle(side_end_);
    if (!ahead.first) return;
    for (size_t byte = 0; byte < ahead.bytes; byte += 64) prefetch_far(place(run.begin, 0) + byte);
  }

  void multiply(size_t begin, float* y) {
    for (; begin < end_; begin += kMost) some_rows(begin, end_ - begin < kMost ? end_ - begin : kMost, y + begin);
  }

 private:
  static constexpr PackedLayout kLayout = Decoder::kLayout;
  static constexpr size_t kColumns = Decoder::kColumns, kMost = Decoder::kRowsTogether;
  using Row = typename Decoder::Row;
  using Position = typename Decoder::Position;

  const uint8_t* place(size_t row, size_t column) const { return rows_.fixed + order_.offset(kLayout, row, column); }

  void some_rows(size_t begin, size_t count, float* y) {
    bool unchecked = whole_ > 0;
    for (size_t i = 0; i < count; ++i) {
      open_[i].open(tables_, rows_, begin + i, side_end_);
      unchecked &= open_[i].unchecked;
    }
    if (unchecked) return pieces(begin, count, y);
    for (size_t i = 0; i < count; ++i) y[i] = rest(begin + i, open_[i], 0, Dot{});
  }

  // Of the rows that are multiplied after those up to `end`.
  SideAhead side_after(size_t end) const {
    if (end < end_) return {kLayout, rows_, end, end_ - end < kMost ? end_ : end + kMost};
    const PackedRun* const next = ahead_.next;
    if (next == nullptr) return {};
    return {kLayout, next->rows, next->begin, next->end - next->begin < kMost ? next->end : next->begin + kMost};
  }

  // What to prefetch in the piece from `c` on of the rows from `begin` to `end`: then comes the next piece of the same
  // rows, then that of the rows after them.
  Ahead ahead_of(size_t begin, size_t end, size_t c) const {
    const bool last_piece = order_.columns - c <= order_.piece();
    const PackedRun* const next = ahead_.next;
    const uint8_t* follow = nullptr;
    if (!last_piece) {
      follow = place(begin, c + order_.piece());
    } else if (end < end_) {
      follow = place(end, 0);
    } else if (next != nullptr) {
      follow = next->rows.fixed + next->rows.order.offset(kLayout, next->begin, 0);
    }
    return {ahead_.bytes, place(begin, c) + (end - begin) * order_.stride(kLayout, c), follow};
  }

  // Piece by piece, so that a piece of the activations serves all rows.
  void pieces(size_t begin, size_t count, float* y) {
    Decoder decoder(tables_);  // nothing else has its address, so that it stays in registers
    decoder.begin({&open_[0], place(begin, 0)});
    SideAhead side(kLayout, rows_, begin, begin + count), side_next = side_after(begin + count);
    for (size_t i = 0; i < kSideRows; ++i) side.prefetch(i);
    for (size_t c = 0; c < whole_;) {
      const bool last_piece = whole_ - c <= order_.piece();
      const size_t some = last_piece ? whole_ - c : order_.piece();
      const size_t stride = order_.stride(kLayout, c);
      const Ahead ahead = ahead_of(begin, begin + count, c);
      const uint8_t* at = place(begin, c);
      const Position next_piece = last_piece ? Position{&idle_, at} : Position{&open_[0], place(begin, c + some)};
      for (size_t i = 0; i < count; ++i, at += stride) {
        if (c == 0) side.prefetch(i + kSideRows);
        if (last_piece && i + kSideRows >= count) side_next.prefetch(i + kSideRows - count);
        DotSink sink{x_ + c, c == 0 ? Dot{} : dots_[i]};
        const Position next = i + 1 == count ? next_piece : Position{&open_[i + 1], at + stride};
        decoder.add(open_[i], at, some, next, ahead, sink);
        if (!last_piece) {
          dots_[i] = sink.dot;
        } else if (whole_ == order_.columns) {
          y[i] = sink.dot.sum();
        } else {
          if (kAhead == 0) decoder.end();
          prefetch_rest(ahead.from(at + packed_row_bytes(kLayout, some)));
          y[i] = rest(begin + i, open_[i], whole_, sink.dot);
        }
      }
      c += some;
    }
  }

  void prefetch_rest(const uint8_t* far) const {
    const size_t bytes = packed_row_bytes(kLayout, order_.columns - whole_);
    for (size_t byte = 0; byte < bytes; byte += 64) prefetch_far(far + byte);
  }

  // The columns of a row from `c` on.
  __attribute__((noinline)) float rest(size_t r, Row& row, size_t c, const Dot& dot) const {
    DotSink sink{x_ + c, dot};
    for (; c < order_.columns; c += kColumns) {
      const size_t some = order_.columns - c < kColumns ? order_.columns - c : kColumns;
      checked_.add_checked(row, place(r, c), some, sink);
    }
    return sink.dot.sum();
  }

  const PackedTables& tables_;
  const Decoder checked_{tables_};
  const PackedRows& rows_;
  const PackedOrder& order_ = rows_.order;
  const size_t whole_ = Decoder::whole(order_.columns);
  const size_t end_;
  const PackedAhead& ahead_;
  const float* const x_;
  SideEnd side_end_;
  Row open_[kMost], idle_;
  Dot dots_[kMost];
};

template <typename Decoder>
void dot_with(const PackedTables& tables, const PackedRun& run, const PackedAhead& ahead, const float* x, float* y) {
  Product<Decoder>(tables, run, ahead, x).multiply(run.begin, y);
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

inline void dot_rows(const PackedTables& tables, const PackedRun& run, const PackedAhead& ahead, const float* x,
                     float* y) {
  switch (tables.layout) {
    case PackedLayout::kE2p3: return dot_with<Blocks<TwoLevels<PackedLayout::kE2p3>>>(tables, run, ahead, x, y);
    case PackedLayout::kE3p3: return dot_with<Blocks<TwoLevels<PackedLayout::kE3p3>>>(tables, run, ahead, x, y);
    case PackedLayout::kHi3: return dot_with<Blocks<Hi3>>(tables, run, ahead, x, y);
    case PackedLayout::kHi4p: return dot_with<Hi4p>(tables, run, ahead, x, y);
  }
}

extern const PackedKernels packed;
const PackedKernels packed = {decode_rows, dot_rows};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
