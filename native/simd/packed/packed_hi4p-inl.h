// The layout hi4p of simd/packed/packed.h: four-bit codes of the high byte: sixteen values; the rest is patched from a
// list of (column, value). Decoded as packed_blocks-inl.h does the other layouts.
#pragma once

#include "simd/packed/packed_blocks-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

class Hi4p {
 public:
  static constexpr PackedLayout kLayout = PackedLayout::kHi4p;
  static constexpr size_t kColumns = 2 * kGroup;
  static constexpr size_t kBytes = packed_row_bytes(kLayout, kColumns);

  class Row {
   public:
    static constexpr bool unchecked = true;

    void open(const PackedTables&, const PackedRows& rows, size_t row, SideEnd&) {
      const uint8_t* const entry = rows.table + 4 * row;
      columns_ = rows.order.columns;
      next_ = rows.side + load_u32(entry);
      end_ = rows.side + load_u32(entry + 4);
      first_ = 0;
      column_ = kNone;
      read_next();
    }
    void idle(const SideEnd&) {}
    bool complete() const { return column_ == kNone && next_ == end_; }
    static constexpr bool certain() { return true; }

   private:
    friend class Hi4p;
    static constexpr size_t kNone = ~size_t{0};

    // The column of the next block that has something to patch, or of the one that is cut short.
    size_t plain_until() const { return (column_ < columns_ ? column_ : columns_) / kColumns * kColumns; }

    // An entry out of order or range stays in the way: no block matches it, and the row is not complete.
    void read_next() {
      const size_t before = column_;
      column_ = kNone;
      if (end_ - next_ < 4) return;
      const uint32_t patch = load_u32(next_);
      next_ += 4;
      column_ = patch >> 8;
      value_ = static_cast<uint8_t>(patch);
      if ((before != kNone && column_ <= before) || column_ >= columns_) column_ = kNone - 1;
    }

    size_t columns_;
    size_t first_;         // column of the next block
    const uint8_t* next_;  // patch after the one that comes next
    const uint8_t* end_;
    size_t column_;  // of the patch that comes next
    uint8_t value_;
  };

  struct Position {
    Row* row;
    const uint8_t* at;
  };

  explicit Hi4p(const PackedTables& tables) : table_(Ops::table<4>(tables.level1)) {}

  void begin(Position) {}

  static constexpr size_t whole(size_t columns) { return columns / kColumns * kColumns; }

  // As Blocks::add(). A function of its own, as otherwise AVX2 has too few registers for the sums.
  template <typename Sink>
  __attribute__((noinline)) void add(Row& row, const uint8_t* at, size_t columns, Position, const Ahead& ahead,
                                     Sink& result) const {
    auto sink = result.start();
    Row here = row;
    for (size_t count = columns / kColumns; count > 0;) {
      const size_t until = (here.plain_until() - here.first_) / kColumns;
      const size_t plain = until < count ? until : count;
      for (size_t i = 0; i < plain; ++i, at += kBytes) {
        prefetch_block(ahead.of(at));
        plain_block(at, sink);
      }
      count -= plain;
      here.first_ += plain * kColumns;
      if (count == 0) break;
      prefetch_block(ahead.of(at));
      patched_block(here, at, sink);
      --count;
      at += kBytes;
      here.first_ += kColumns;
    }
    row = here;
    result.end(sink);
  }

  // The last block of a row, cut short by its end.
  template <typename Sink>
  __attribute__((noinline)) void add_checked(Row& row, const uint8_t* at, size_t columns, Sink& sink) const {
    Sink sink_here = sink;
    Row here = row;
    alignas(64) uint16_t decoded[kColumns];
    StoreSink store{reinterpret_cast<uint8_t*>(decoded)};
    const uint8_t* const raw = at + 64;
    group<0>(here, at, raw, store);
    if (columns > kGroup) group<1>(here, at, raw + 64, store);
    std::memset(decoded + columns, 0, sizeof decoded - 2 * columns);
    sink_here.put_columns(decoded, columns);
    row = here;
    sink = sink_here;
  }

 private:
  static constexpr size_t kNoLane = 2 * kGroup;

  static inline __attribute__((always_inline)) void prefetch_block(Ahead::Lines far) {
    for (size_t line = 0; line < kBytes / 64; ++line) far.prefetch(line);
  }

  // A block without anything to patch.
  template <typename Sink>
  inline __attribute__((always_inline)) void plain_block(const uint8_t* at, Sink& sink) const {
    Ops::Bytes codes[kParts];
#pragma GCC unroll 4
    for (size_t part = 0; part < kParts; ++part) codes[part] = Ops::load(at + part * LPC_VECTOR_BYTES);
#pragma GCC unroll 4
    for (size_t part = 0; part < kParts; ++part) {
      const uint8_t* const raw = at + kGroup + part * LPC_VECTOR_BYTES;
      put_high_bytes(raw, part, Ops::lookup<0, 4>(table_, codes[part]), sink);
    }
#pragma GCC unroll 4
    for (size_t part = 0; part < kParts; ++part) {
      const uint8_t* const raw = at + 2 * kGroup + part * LPC_VECTOR_BYTES;
      put_high_bytes(raw, part, Ops::lookup<4, 4>(table_, codes[part]), sink);
    }
  }

  // A block with something to patch. Mostly that is one column, and nothing here depends on which.
  template <typename Sink>
  inline __attribute__((always_inline)) void patched_block(Row& row, const uint8_t* at, Sink& sink) const {
    Ops::Bytes high[2][kParts];
    for (size_t part = 0; part < kParts; ++part) {
      const Ops::Bytes codes = Ops::load(at + part * LPC_VECTOR_BYTES);
      high[0][part] = Ops::lookup<0, 4>(table_, codes);
      high[1][part] = Ops::lookup<4, 4>(table_, codes);
    }
    for (; row.column_ - row.first_ < kColumns; row.read_next()) {
      const size_t column = row.column_ - row.first_;
      const size_t position = packed_position(column % kGroup);
      for (size_t group = 0; group < 2; ++group) {
        const size_t lane = column / kGroup == group ? position : kNoLane;
        for (size_t part = 0; part < kParts; ++part) {
          high[group][part] = Ops::replace(high[group][part], lane - part * LPC_VECTOR_BYTES, row.value_);
        }
      }
    }
    for (size_t group = 0; group < 2; ++group) {
      for (size_t part = 0; part < kParts; ++part) {
        put_high_bytes(at + (1 + group) * kGroup + part * LPC_VECTOR_BYTES, part, high[group][part], sink);
      }
    }
  }

  // Group kIndex of the last block of a row.
  template <size_t kIndex, typename Sink>
  inline __attribute__((always_inline)) void group(Row& row, const uint8_t* at, const uint8_t* raw, Sink& sink) const {
    Ops::Bytes patched[kParts];
    for (size_t part = 0; part < kParts; ++part) {
      patched[part] = Ops::lookup<4 * kIndex, 4>(table_, Ops::load(at + part * LPC_VECTOR_BYTES));
    }
    const size_t first = row.first_ + kIndex * kGroup;
    for (; row.column_ - first < kGroup; row.read_next()) {
      const size_t position = packed_position(row.column_ - first);
      for (size_t part = 0; part < kParts; ++part) {
        patched[part] = Ops::replace(patched[part], position - part * LPC_VECTOR_BYTES, row.value_);
      }
    }
    for (size_t part = 0; part < kParts; ++part) {
      put_high_bytes(raw + part * LPC_VECTOR_BYTES, part, patched[part], sink);
    }
  }

  Ops::Table table_;
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
