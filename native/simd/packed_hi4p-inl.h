// The layout hi4p of simd/packed.h, as packed_layouts-inl.h has the others.
#pragma once

#include "simd/packed_layouts-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// Four-bit codes of the high byte: sixteen values; the rest is patched from a list of (column, value).
struct Hi4p {
  static constexpr PackedLayout kLayout = PackedLayout::kHi4p;
  static constexpr bool kInPieces = true;
  static constexpr size_t kGroups = 2;
  static constexpr size_t kNone = ~size_t{0};

  struct Cold {};

  Hi4p() = default;
  Hi4p(const PackedTables& tables, const PackedRows& rows, size_t row, Cold&)
      : table_(Ops::table<4>(tables.level1)),
        columns_(rows.columns),
        next_(rows.side + load_u32(rows.table + 4 * row)),
        end_(rows.side + load_u32(rows.table + 4 * row + 4)) {
    prefetch_side(rows.table + 4 * row, next_, static_cast<size_t>(end_ - next_));
    read_next();
  }

  bool complete() const { return column_ == kNone && next_ == end_; }
  void prepare(size_t first_column) { first_column_ = first_column; }

  // The first column of the next block that has something to patch, or of the first one that is cut short.
  size_t plain_until(size_t columns) const {
    constexpr size_t kColumns = kGroups * kGroup;
    return (column_ < columns ? column_ : columns) / kColumns * kColumns;
  }

  // A block without anything to patch.
  template <typename Sink>
  inline __attribute__((always_inline)) void plain_block(const uint8_t* fixed, Sink& sink) const {
    Ops::Bytes codes[kParts];
#pragma GCC unroll 4
    for (size_t part = 0; part < kParts; ++part) codes[part] = Ops::load(fixed + part * LPC_VECTOR_BYTES);
#pragma GCC unroll 4
    for (size_t part = 0; part < kParts; ++part) {
      const uint8_t* const raw = fixed + kGroup + part * LPC_VECTOR_BYTES;
      put_high_bytes(raw, part, Ops::lookup(table_, Ops::field<0, 4>(codes[part])), sink);
    }
#pragma GCC unroll 4
    for (size_t part = 0; part < kParts; ++part) {
      const uint8_t* const raw = fixed + 2 * kGroup + part * LPC_VECTOR_BYTES;
      put_high_bytes(raw, part, Ops::lookup(table_, Ops::field<4, 4>(codes[part])), sink);
    }
  }

  // A block with something to patch. Mostly that is one column, and nothing here depends on which.
  template <typename Sink>
  inline __attribute__((always_inline)) void patched_block(const uint8_t* fixed, Sink& sink) {
    Ops::Bytes high[kGroups][kParts];
    for (size_t part = 0; part < kParts; ++part) {
      const Ops::Bytes codes = Ops::load(fixed + part * LPC_VECTOR_BYTES);
      high[0][part] = Ops::lookup(table_, Ops::field<0, 4>(codes));
      high[1][part] = Ops::lookup(table_, Ops::field<4, 4>(codes));
    }
    for (; column_ - first_column_ < kGroups * kGroup; read_next()) {
      const size_t column = column_ - first_column_;
      const size_t position = packed_position(column % kGroup);
      for (size_t group = 0; group < kGroups; ++group) {
        const size_t lane = column / kGroup == group ? position : kNoLane;
        for (size_t part = 0; part < kParts; ++part) {
          high[group][part] = Ops::replace(high[group][part], lane - part * LPC_VECTOR_BYTES, value_);
        }
      }
    }
    for (size_t group = 0; group < kGroups; ++group) {
      for (size_t part = 0; part < kParts; ++part) {
        put_high_bytes(fixed + (1 + group) * kGroup + part * LPC_VECTOR_BYTES, part, high[group][part], sink);
      }
    }
  }

  // Group kIndex of the last block of a row.
  template <size_t kIndex, typename Sink>
  inline __attribute__((always_inline)) void group(const uint8_t* codes, const uint8_t* raw, Sink& sink) {
    Ops::Bytes patched[kParts];
    for (size_t part = 0; part < kParts; ++part) patched[part] = coded<kIndex>(codes, part);
    const size_t first = first_column_ + kIndex * kGroup;
    for (; column_ - first < kGroup; read_next()) {
      const size_t position = packed_position(column_ - first);
      for (size_t part = 0; part < kParts; ++part) {
        patched[part] = Ops::replace(patched[part], position - part * LPC_VECTOR_BYTES, value_);
      }
    }
    for (size_t part = 0; part < kParts; ++part) {
      put_high_bytes(raw + part * LPC_VECTOR_BYTES, part, patched[part], sink);
    }
  }

 private:
  static constexpr size_t kNoLane = 2 * kGroup;

  template <size_t kIndex>
  inline __attribute__((always_inline)) Ops::Bytes coded(const uint8_t* codes, size_t part) const {
    return Ops::lookup(table_, Ops::field<4 * kIndex, 4>(Ops::load(codes + part * LPC_VECTOR_BYTES)));
  }

  // An entry out of order or range stays in the way: no block matches it, and the row is not complete.
  void read_next() {
    const size_t before = column_;
    column_ = kNone;
    if (end_ - next_ < 4) return;
    const uint32_t entry = load_u32(next_);
    next_ += 4;
    column_ = entry >> 8;
    value_ = static_cast<uint8_t>(entry);
    if ((before != kNone && column_ <= before) || column_ >= columns_) column_ = kNone - 1;
  }

  Ops::Bytes table_;
  size_t columns_ = 0;
  const uint8_t* next_ = nullptr;
  const uint8_t* end_ = nullptr;
  size_t column_ = kNone;
  uint8_t value_ = 0;
  size_t first_column_ = 0;  // of the block
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
