// Blocks of eight groups in the layouts of packed_layouts-inl.h, decoded into a sink (StoreSink or DotSink).
#pragma once

#include "simd/packed/packed_layouts-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// Groups are decoded so many groups before they are used, over the ends of blocks and rows, so that a core has several
// under way however long each takes (AMD Zen 4, from the second-level cache: 11.6 cycles a group in order, 9.6 with
// four ahead). Shorter vectors would need more registers than there are.
inline constexpr size_t kAhead = kParts == 1 ? 4 : 0;

// What is prefetched into the second-level cache while a block is used: what lies `bytes` farther on, which may be in
// what follows these rows. And once more half as far on: a core drops prefetches while it has many under way (AMD Zen
// 4, where decoding is faster than memory: 24 GB/s, 29 with the second one).
struct Ahead {
  size_t bytes;
  const uint8_t* end;     // of the rows
  const uint8_t* follow;  // null: nothing follows

  // For the block at `at`.
  struct Lines {
    const uint8_t* far;
    const uint8_t* again;

    inline __attribute__((always_inline)) void prefetch(size_t line) const {
      prefetch_far(far + 64 * line);
      prefetch_far(again + 64 * line);
    }
  };
  inline __attribute__((always_inline)) Lines of(const uint8_t* at) const {
    return {from(at, bytes), from(at, bytes / 2)};
  }

 private:
  const uint8_t* from(const uint8_t* at, size_t distance) const {
    const uint8_t* const far = at + distance;
    if (far < end) return far;
    return follow != nullptr ? follow + (far - end) : at;
  }
};

// Decodes block after block of one row and then of another.
template <typename Layout>
class Blocks {
 public:
  static constexpr PackedLayout kLayout = Layout::kLayout;
  static constexpr size_t kColumns = 8 * kGroup;
  static constexpr size_t kBytes = packed_row_bytes(kLayout, kColumns);
  using Row = typename Layout::Row;

  // Where decoding goes on: with groups of some block of this row, or of any block of an idle row.
  struct Position {
    Row* row;
    const uint8_t* at;
  };

  explicit Blocks(const PackedTables& tables) : layout_(tables) {}

  inline __attribute__((always_inline)) void begin(Position first) {
    row_ = first.row;
    escapes_ = row_->escapes;
    if constexpr (kAhead > 0) {
      read_codes(first.at);
      decode<0>(under_way_[0]);
      decode<1>(under_way_[1]);
      decode<2>(under_way_[2]);
      decode<3>(under_way_[3]);
    }
  }

  // Columns of a row that add() takes: whole blocks, and a last one of half as many.
  static constexpr size_t whole(size_t columns) {
    return columns % kColumns == kColumns / 2 ? columns : columns / kColumns * kColumns;
  }

  // `columns` columns of `row`, as whole() has them, stored from `at` on; then comes `next`. What was taken of the row
  // is noted there.
  template <typename Sink>
  inline __attribute__((always_inline)) void add(Row& row, const uint8_t* at, size_t columns, Position next,
                                                 const Ahead& ahead, Sink& result) {
    auto sink = result.start();
    if constexpr (kAhead == 0) {
      row_ = &row;
      escapes_ = row.escapes;
    }
    for (; columns >= kColumns; columns -= kColumns, at += kBytes) {
      const Position follow = columns > kColumns ? Position{&row, at + kBytes} : next;
      const Ahead::Lines far = ahead.of(at);
      step<0, 8>(at, follow, far, sink);
      step<1, 8>(at, follow, far, sink);
      step<2, 8>(at, follow, far, sink);
      step<3, 8>(at, follow, far, sink);
      step<4, 8>(at, follow, far, sink);
      step<5, 8>(at, follow, far, sink);
      step<6, 8>(at, follow, far, sink);
      step<7, 8>(at, follow, far, sink);
    }
    if (columns > 0) {
      const Ahead::Lines far = ahead.of(at);
      step<0, 4>(at, next, far, sink);
      step<1, 4>(at, next, far, sink);
      step<2, 4>(at, next, far, sink);
      step<3, 4>(at, next, far, sink);
    }
    if constexpr (kAhead == 0) row_->escapes = escapes_;
    result.end(sink);
  }

  // `columns` columns at `at`: a block that is cut short by the end of the row, or in a row that is to be checked.
  template <typename Sink>
  void add_checked(Row& row, const uint8_t* at, size_t columns, Sink& sink) const {
    const Layout layout = layout_;  // what other functions have the address of does not stay in registers
    Sink sink_here = sink;
    checked_block(layout, row, at, columns, sink_here);
    sink = sink_here;
  }

 private:
  static constexpr size_t kVectors = packed_code_vectors(Layout::kLayout, 8);

  // A decoded group: its bytes of exponents, or its high bytes.
  struct Coded {
    Ops::Bytes parts[kParts];
  };

  inline __attribute__((always_inline)) void enter(Row& row) {
    row_->escapes = escapes_;
    row_ = &row;
    escapes_ = row.escapes;
  }

  // A half block has fewer code vectors, but as many bytes.
  inline __attribute__((always_inline)) void read_codes(const uint8_t* at) {
    row_->prepare(escapes_);
    codes_ = Codes(at, kVectors);
  }

  template <size_t kIndex>
  inline __attribute__((always_inline)) void decode(Coded& out) {
    typename Layout::Escapes escapes(escapes_);
    for (size_t part = 0; part < kParts; ++part) {
      out.parts[part] = coded<kIndex>(layout_, codes_, part, escapes);
      if constexpr (kAhead > 0) out.parts[part] = in_register(out.parts[part]);  // now, not when it is used
    }
  }

  // Group kIndex of the block of kGroups groups at `at` is used, and the one kAhead groups later decoded.
  template <size_t kIndex, size_t kGroups, typename Sink>
  inline __attribute__((always_inline)) void step(const uint8_t* at, Position next, Ahead::Lines far, Sink& sink) {
    constexpr size_t kDecoded = kIndex + kAhead;
    constexpr size_t kCodes = packed_code_vectors(kLayout, kGroups);
    if constexpr (kDecoded == kGroups) {
      if (next.row != row_) enter(*next.row);
    }
    if constexpr (kDecoded % kGroups == 0) read_codes(kDecoded < kGroups ? at : next.at);
    decode<kDecoded % kGroups>(under_way_[kAhead]);
    far.prefetch(kIndex);
    if (kIndex < kCodes) far.prefetch(kGroups + kIndex);
    put(at + (kCodes + kIndex) * 64, under_way_[0], sink);
#pragma GCC unroll 8
    for (size_t i = 0; i < kAhead; ++i) under_way_[i] = under_way_[i + 1];
  }

  template <size_t kIndex, typename Escapes>
  static inline __attribute__((always_inline)) Ops::Bytes coded(const Layout& layout, const Codes& codes, size_t part,
                                                                Escapes& escapes) {
    const Ops::Bytes first = layout.template first<kIndex>(codes, part);
    return Ops::expand(first, Ops::match(first, layout.escape()), escapes);
  }

  template <typename Sink>
  static inline __attribute__((always_inline)) void put(const uint8_t* raw, const Coded& coded, Sink& sink) {
    for (size_t part = 0; part < kParts; ++part) {
      Layout::put(raw + part * LPC_VECTOR_BYTES, part, coded.parts[part], sink);
    }
  }

  template <typename Sink>
  static __attribute__((noinline)) void checked_block(const Layout& layout, Row& row, const uint8_t* at, size_t columns,
                                                      Sink& sink) {
    Stream escapes = row.escapes;
    row.prepare(escapes);
    if (columns % kGroup == 0) {
      groups(layout, escapes, at, columns / kGroup, sink);
    } else {
      alignas(64) uint16_t decoded[kColumns];
      StoreSink store{reinterpret_cast<uint8_t*>(decoded)};
      groups(layout, escapes, at, packed_groups(columns), store);
      std::memset(decoded + columns, 0, sizeof decoded - 2 * columns);
      sink.put_columns(decoded, columns);
    }
    row.escapes = escapes;
  }

  template <typename Sink>
  static inline __attribute__((always_inline)) void groups(const Layout& layout, Stream& escapes, const uint8_t* at,
                                                           size_t count, Sink& sink) {
    const size_t vectors = packed_code_vectors(kLayout, count);
    const Codes codes(at, vectors);
    const uint8_t* const raw = at + 64 * vectors;
    group<0>(layout, codes, escapes, raw, count, sink);
    group<1>(layout, codes, escapes, raw, count, sink);
    group<2>(layout, codes, escapes, raw, count, sink);
    group<3>(layout, codes, escapes, raw, count, sink);
    group<4>(layout, codes, escapes, raw, count, sink);
    group<5>(layout, codes, escapes, raw, count, sink);
    group<6>(layout, codes, escapes, raw, count, sink);
    group<7>(layout, codes, escapes, raw, count, sink);
  }

  template <size_t kIndex, typename Sink>
  static inline __attribute__((always_inline)) void group(const Layout& layout, const Codes& codes, Stream& escapes,
                                                          const uint8_t* raw, size_t count, Sink& sink) {
    if (kIndex >= count) return;
    Coded out;
    for (size_t part = 0; part < kParts; ++part) out.parts[part] = coded<kIndex>(layout, codes, part, escapes);
    put(raw + 64 * kIndex, out, sink);
  }

  const Layout layout_;
  Row* row_ = nullptr;  // that is decoded
  Stream escapes_;      // its own
  Codes codes_;
  Coded under_way_[kAhead + 1];
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
