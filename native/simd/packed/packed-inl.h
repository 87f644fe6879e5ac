// The kernels of simd/packed/packed.h: whole rows, in any layout. See packed_layouts-inl.h for what the including file
// defines.
#pragma once

#include "simd/packed/packed_blocks-inl.h"
#include "simd/packed/packed_hi4p-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// What is prefetched while rows are decoded to memory.
inline constexpr size_t kDecodeAhead = 11264;  // bytes

// The side streams of the rows to come: they are read too slowly for a core to notice that they are streams.
class SideAhead {
 public:
  static constexpr size_t kRows = 8;

  // Of a run and then of the next one, if there is one.
  SideAhead(PackedLayout layout, const PackedRun& run, const PackedRun* next)
      : run_(run), next_(next), entry_bytes_(4 * packed_parts_per_row(layout)) {
    if (next_ != nullptr) prefetch_entries(*next_);
  }

  // What the first rows need. `cold`: not even their entries are there.
  inline __attribute__((always_inline)) void begin(bool cold) const {
    const PackedRows& rows = run_.rows;
    if (cold) {
      prefetch_entries(run_);
      if (run_.begin == 0) prefetch_lines(rows.side, kRows * (rows.side_bytes / rows.order.rows) / 64 + 1);
    }
    for (size_t r = run_.begin; r < run_.begin + kRows; ++r) prefetch(r);
  }

  // What the row kRows after row r needs.
  inline __attribute__((always_inline)) void after(size_t r) const { prefetch(r + kRows); }

 private:
  static constexpr size_t kEntriesAhead = 256;  // bytes

  static inline __attribute__((always_inline)) void prefetch_lines(const uint8_t* from, size_t count) {
    for (size_t i = 0; i < count; ++i) prefetch_far(from + 64 * i);
  }

  inline __attribute__((always_inline)) void prefetch_entries(const PackedRun& run) const {
    prefetch_lines(run.rows.table + entry_bytes_ * run.begin, kEntriesAhead / 64);
  }

  // So many lines as most rows have: where that changes, a core guesses wrong which way a branch goes.
  inline __attribute__((always_inline)) void prefetch(size_t r) const {
    const PackedRun* run = &run_;
    if (r >= run_.end) {
      if (next_ == nullptr) return;
      r = next_->begin + (r - run_.end);
      if (r >= next_->end) return;
      run = next_;
    }
    const PackedRows& rows = run->rows;
    const uint8_t* const entry = rows.table + entry_bytes_ * r;
    prefetch_far(entry + kEntriesAhead);
    prefetch_lines(rows.side + load_u32(entry), lines_);
  }

  const PackedRun& run_;
  const PackedRun* const next_;
  const size_t entry_bytes_;
  const size_t lines_ = run_.rows.side_bytes / run_.rows.order.rows / 64 + 1;
};

template <typename Decoder>
size_t decode_with(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  constexpr PackedLayout kLayout = Decoder::kLayout;
  constexpr size_t kColumns = Decoder::kColumns;
  const PackedOrder& order = rows.order;
  const Ahead ahead{kDecodeAhead, rows.fixed + order.rows * packed_row_bytes(kLayout, order.columns), nullptr};
  const PackedRun run{rows, begin, end};
  const SideAhead side(kLayout, run, nullptr);
  const Decoder checked(tables);
  SideEnd side_end;
  typename Decoder::Row row, idle;
  idle.idle(side_end);
  for (size_t r = begin; r < end; ++r) {
    StoreSink sink{out + 2 * order.columns * (r - begin)};
    row.open(tables, rows, r, side_end);
    side.after(r);
    size_t c = 0;
    for (const size_t whole = row.unchecked ? Decoder::whole(order.columns) : 0; c < whole;) {
      const size_t some = whole - c < order.piece() ? whole - c : order.piece();
      const uint8_t* const at = rows.fixed + order.offset(kLayout, r, c);
      Decoder decoder(tables);  // nothing else has its address, so that it stays in registers
      decoder.begin({&row, at});
      decoder.add(row, at, some, {&idle, at}, ahead, sink);
      c += some;
    }
    if (!row.certain()) {
      row.open(tables, rows, r, side_end);
      sink = {out + 2 * order.columns * (r - begin)};
      c = 0;
    }
    for (; c < order.columns; c += kColumns) {
      const size_t some = order.columns - c < kColumns ? order.columns - c : kColumns;
      checked.add_checked(row, rows.fixed + order.offset(kLayout, r, c), some, sink);
    }
    if (!row.complete()) return r;  // its side stream does not fit its codes
  }
  return end;
}

// The rows of a run.
template <typename Decoder>
class Product {
 public:
  Product(const PackedTables& tables, const PackedRun& run, const PackedAhead& ahead, const float* x)
      : tables_(tables), run_(run), ahead_(ahead), side_(kLayout, run, ahead.next), x_(x) {
    if (ahead.first) prefetch(place(run.begin, 0), ahead.bytes / 4);
    side_.begin(ahead.first);
  }

  void multiply(float* y) {
    for (size_t r = run_.begin; r < run_.end;) {
      const size_t done = whole_ == 0 ? r : order_.in_pieces ? pieces(r, y) : rows(r, y);
      if (done == r) {
        y[r] = checked_row(r);
        ++r;
      } else {
        r = done;
      }
    }
  }

 private:
  static constexpr PackedLayout kLayout = Decoder::kLayout;
  static constexpr size_t kColumns = Decoder::kColumns;
  static constexpr size_t kMost = 64;  // rows that share a piece of the activations
  using Row = typename Decoder::Row;
  using Position = typename Decoder::Position;

  static inline __attribute__((always_inline)) void prefetch(const uint8_t* from, size_t bytes) {
    for (size_t byte = 0; byte < bytes; byte += 64) prefetch_far(from + byte);
  }

  const uint8_t* place(size_t row, size_t column) const { return rows_.fixed + order_.offset(kLayout, row, column); }

  // Of what a run begins with, once its row table is there: as many at once as the constructor's would be dropped.
  inline __attribute__((always_inline)) void prefetch_more(size_t begin) const {
    if (ahead_.first && begin == run_.begin) prefetch(place(begin, 0), ahead_.bytes / 2);
  }

  // What the next run begins with.
  const uint8_t* follow() const {
    const PackedRun* const next = ahead_.next;
    return next == nullptr ? nullptr : next->rows.fixed + next->rows.order.offset(kLayout, next->begin, 0);
  }

  // Rows from `begin` on, one after the other; returns the first one that has to be checked, or the run's end.
  size_t rows(size_t begin, float* y) {
    Row open[2];  // take turns
    Row* row = &open[0];
    Row* next = &open[1];
    row->open(tables_, rows_, begin, side_end_);
    if (!row->unchecked) return begin;
    prefetch_more(begin);
    const size_t row_bytes = packed_row_bytes(kLayout, order_.columns);
    const uint8_t* at = place(begin, 0);
    const Ahead ahead{ahead_.bytes, at + (run_.end - begin) * row_bytes, follow()};
    Decoder decoder(tables_);  // nothing else has its address, so that it stays in registers
    decoder.begin({row, at});
    for (size_t r = begin;; at += row_bytes) {
      side_.after(r);
      bool more = r + 1 < run_.end;
      if (more) {
        next->open(tables_, rows_, r + 1, side_end_);
        more = next->unchecked;
      }
      if (!more) next->idle(side_end_);
      NewDotSink sink(x_);
      decoder.add(*row, at, whole_, {next, at + (more ? row_bytes : 0)}, ahead, sink);
      y[r] = finished(r, *row, ahead.of(at + packed_row_bytes(kLayout, whole_)), sink.dot);
      if (++r == run_.end || !more) return r;
      Row* const last = row;
      row = next;
      next = last;
    }
  }

  // Some rows from `begin` on, piece by piece, so that a piece of the activations serves all of them; returns the row
  // after them, at most the first one that has to be checked.
  size_t pieces(size_t begin, float* y) {
    Row open[kMost], idle;
    size_t count = 0;
    for (; count < kMost && begin + count < run_.end; ++count) {
      open[count].open(tables_, rows_, begin + count, side_end_);
      if (!open[count].unchecked) break;
    }
    if (count == 0) return begin;
    prefetch_more(begin);
    const size_t end = begin + count;
    idle.idle(side_end_);
    Dot dots[kMost] = {};
    Decoder decoder(tables_);
    decoder.begin({&open[0], place(begin, 0)});
    for (size_t c = 0; c < whole_;) {
      const bool last_piece = whole_ - c <= order_.piece();
      const size_t some = last_piece ? whole_ - c : order_.piece();
      const size_t stride = order_.stride(kLayout, c);
      const uint8_t* at = place(begin, c);
      const Ahead ahead{ahead_.bytes, at + count * stride,
                        !last_piece ? place(begin, c + some) : (end < run_.end ? place(end, 0) : follow())};
      const Position next_piece = last_piece ? Position{&idle, at} : Position{&open[0], place(begin, c + some)};
      for (size_t i = 0; i < count; ++i, at += stride) {
        if (c == 0 ? i + SideAhead::kRows < count : last_piece && i + SideAhead::kRows >= count) side_.after(begin + i);
        DotSink sink{x_ + c, dots[i]};
        decoder.add(open[i], at, some, i + 1 == count ? next_piece : Position{&open[i + 1], at + stride}, ahead, sink);
        if (!last_piece) {
          dots[i] = sink.dot;
        } else {
          y[begin + i] = finished(begin + i, open[i], ahead.of(at + packed_row_bytes(kLayout, some)), sink.dot);
        }
      }
      c += some;
    }
    return end;
  }

  // The sum of a row, of which `dot` is that of whole_ columns. `far` is what to prefetch for the others.
  inline __attribute__((always_inline)) float finished(size_t r, Row& row, Ahead::Lines far, Dot dot) const {
    if (!row.certain()) return checked_row(r);
    if (whole_ == order_.columns) return dot.sum();
    const size_t lines = packed_row_bytes(kLayout, order_.columns - whole_) / 64;
    for (size_t line = 0; line < lines; ++line) far.prefetch(line);
    const Dot copy = dot;  // the other one stays in registers: nothing has its address
    return rest(r, row, whole_, copy);
  }

  __attribute__((noinline)) float checked_row(size_t r) const {
    SideEnd side_end;
    Row row;
    row.open(tables_, rows_, r, side_end);
    return rest(r, row, 0, Dot{});
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
  const PackedRun& run_;
  const PackedRows& rows_ = run_.rows;
  const PackedOrder& order_ = rows_.order;
  const size_t whole_ = Decoder::whole(order_.columns);
  const PackedAhead& ahead_;
  const SideAhead side_;
  const float* const x_;
  SideEnd side_end_;
};

template <typename Decoder>
void dot_with(const PackedTables& tables, const PackedRun& run, const PackedAhead& ahead, const float* x, float* y) {
  Product<Decoder>(tables, run, ahead, x).multiply(y);
}

inline size_t decode_rows(const PackedTables& tables, const PackedRows& rows, size_t begin, size_t end, uint8_t* out) {
  if (begin == end) return end;
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
