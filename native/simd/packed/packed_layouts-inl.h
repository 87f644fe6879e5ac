// The layouts of simd/packed/packed.h: how a group of 64 columns is decoded, over the few vector operations that
// packed_<isa>.cc supplies as `Ops`:
//
//   Bytes                     LPC_VECTOR_BYTES bytes
//   load(from)                unaligned
//   Table, table<bits>(bytes) 16 bytes, of which the first 2^bits are looked up, bits <= 4
//   lookup<shift, bits>(table, v)  the entries for (v >> shift) & (2^bits - 1) of each byte
//   fill(byte)
//   spare(v0, v1, v2)         v0 >> 6 | v1 >> 6 << 2 | v2 >> 6 << 4 of each byte; its upper two bits may be wrong
//   match(v, escape)          Mask of the bytes of v that are equal to those of `escape`
//   expand(v, mask, from)     bytes of v in `mask` become the next bytes of `from`, in order
//   replace(v, lane, byte)    one byte replaced; none if there is no such lane: -64 to 128 are possible
//   zip(low, high, w0, w1)    bytes interleaved, 8 and 8 of each 16, as pairs of 16-bit elements
//   join_planes(bits, part)   bytes [part * LPC_VECTOR_BYTES, ...) of 64 three-bit codes: bit i of bits[p] is bit p of
//   code i
//
// The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES; see accumulate-inl.h for compiling.
#pragma once

#include "simd/dot/accumulate-inl.h"
#include "simd/packed/packed.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// A stream of bytes taken in order. Taking more than there are gives undefined bytes but reads no further.
struct Stream {
  static constexpr bool kShort = false;

  const uint8_t* bytes;
  size_t size;
  size_t used = 0;
  size_t counts = 0;  // the or of how many ShortStream took at a time

  const uint8_t* next() const { return bytes + (used < size ? used : size); }
  // Between blocks: one that was taken too far stays so, by one byte.
  void hold() { used = used > size ? size + 1 : used; }
};

// The same within one block after hold(), where kBlockRoom more bytes can be read: without looking for the end.
struct UncheckedStream {
  static constexpr bool kShort = false;

  const uint8_t* bytes;
  size_t& used;

  explicit UncheckedStream(Stream& stream) : bytes(stream.bytes), used(stream.used) {}
  const uint8_t* next() const { return bytes + used; }
};
inline constexpr size_t kBlockRoom = 8 * kGroup + 1;

// The same, of which 64 lanes take less than kShortTake bytes at a time; more would be undefined. A load of 64 bytes
// mostly needs two lines of the cache, and loads are what a core is short of (AMD Zen 4: 9.7 for 9.3 cycles a group).
struct ShortStream : UncheckedStream {
  static constexpr bool kShort = true;

  size_t& counts;

  explicit ShortStream(Stream& stream) : UncheckedStream(stream), counts(stream.counts) {}
};
inline constexpr size_t kShortTake = 32;

// The end of a segment's side stream, copied so that there is room after it. For rows in ascending order.
class SideEnd {
 public:
  // Where to read the part of the side stream from `begin` to `end` with kBlockRoom after it; null if it is too long.
  const uint8_t* with_room(const PackedRows& rows, size_t begin, size_t end) {
    if (rows.side_bytes - end >= kBlockRoom) return rows.side + begin;
    if (begin < from_) {
      if (rows.side_bytes - begin > kMost) return nullptr;
      from_ = begin;
      std::memcpy(copy_, rows.side + begin, rows.side_bytes - begin);
    }
    return copy_ + (begin - from_);
  }
  const uint8_t* room() const { return copy_; }

 private:
  static constexpr size_t kMost = 8192;

  size_t from_ = ~size_t{0};
  uint8_t copy_[kMost + kBlockRoom];
};

inline uint32_t load_u32(const uint8_t* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// ---- where decoded weights go
//
// start() gives what weights are put into, and end() takes it back: a local copy of it stays in registers.

struct StoreSink {
  uint8_t* out;

  StoreSink start() const { return *this; }
  void end(const StoreSink& sink) { *this = sink; }
  void put(size_t part, WordVector low, WordVector high) {
    std::memcpy(out + part * LPC_VECTOR_BYTES, &low, sizeof low);
    std::memcpy(out + kGroup + part * LPC_VECTOR_BYTES, &high, sizeof high);
    if (part == kParts - 1) out += 2 * kGroup;
  }
  void put_columns(const uint16_t* columns, size_t count) {
    std::memcpy(out, columns, 2 * count);
    out += 2 * count;
  }
};

struct DotSink {
  const float* x;
  Dot dot;

  DotSink start() const { return *this; }
  void end(const DotSink& sink) { *this = sink; }
  void put(size_t part, WordVector low, WordVector high) {
    dot.add(part, low, high, x);
    x += 4 * kFloats;
  }
  // `columns` is zero from `count` to the end of the group.
  void put_columns(const uint16_t* columns, size_t count) {
    for (size_t c = 0; c < count; c += kGroup, x += kGroup) dot.add_group(columns + c, x);
  }
};

// Begins with sums of zero, which are never in memory: GCC would write them there word by word, too slowly to be loaded
// at once (AVX2: 67 cycles a row).
struct NewDotSink {
  const float* x;
  Dot dot;

  explicit NewDotSink(const float* x) : x(x) {}
  DotSink start() const { return {x, Dot{}}; }
  void end(const DotSink& sink) { dot = sink.dot; }
};

// ---- the layouts

// Exponent codes with the mantissas; each raw byte holds the sign of the other column of its pair, so that one rotation
// of the pair by one bit puts everything in its place.
template <typename Sink>
inline __attribute__((always_inline)) void put_exponents(const uint8_t* raw, size_t part, Ops::Bytes exponents,
                                                         Sink& sink) {
  WordVector low, high;
  Ops::zip(Ops::load(raw), exponents, low, high);
  sink.put(part, (low >> 1) | (low << 31), (high >> 1) | (high << 31));
}

// High bytes as they are.
template <typename Sink>
inline __attribute__((always_inline)) void put_high_bytes(const uint8_t* raw, size_t part, Ops::Bytes high_bytes,
                                                          Sink& sink) {
  WordVector low, high;
  Ops::zip(Ops::load(raw), high_bytes, low, high);
  sink.put(part, low, high);
}

// The code vectors of a block. Vectors of 64 bytes are loaded once, before the raw bytes. Of shorter ones there would
// be too many for the registers.
struct Codes {
  const uint8_t* from = nullptr;
  Ops::Bytes loaded[3];

  Codes() = default;
  inline __attribute__((always_inline)) Codes(const uint8_t* codes, size_t count) : from(codes) {
    if constexpr (kParts == 1) {
      for (size_t i = 0; i < 3; ++i) {
        if (i < count) loaded[i] = Ops::load(codes + i * 64);
      }
    }
  }
  inline __attribute__((always_inline)) Ops::Bytes get(size_t i, size_t part) const {
    return kParts == 1 ? loaded[i] : Ops::load(from + i * 64 + part * LPC_VECTOR_BYTES);
  }
};

// The entries for the three-bit codes of group kIndex of a block.
template <size_t kIndex>
inline __attribute__((always_inline)) Ops::Bytes lookup_three_bits(Ops::Table table, const Codes& codes, size_t part) {
  if constexpr (kIndex < 6) {
    return Ops::lookup<3 * (kIndex % 2), 3>(table, codes.get(kIndex / 2, part));
  } else {
    const Ops::Bytes spare = Ops::spare(codes.get(0, part), codes.get(1, part), codes.get(2, part));
    return Ops::lookup<3 * (kIndex % 2), 3>(table, spare);
  }
}

// Three-bit codes: seven high bytes and an escape to the row's side stream.
struct Hi3 {
  static constexpr PackedLayout kLayout = PackedLayout::kHi3;
  using Escapes = ShortStream;  // mostly three bytes a group

  // A row while it is decoded.
  struct Row {
    Stream escapes;
    bool unchecked;  // whether blocks may take escapes through UncheckedStream

    void open(const PackedTables&, const PackedRows& rows, size_t row, SideEnd& side_end) {
      const uint8_t* const entry = rows.table + 4 * row;
      const size_t begin = load_u32(entry), end = load_u32(entry + 4);
      const uint8_t* const bytes = side_end.with_room(rows, begin, end);
      escapes = {bytes != nullptr ? bytes : rows.side + begin, end - begin};
      unchecked = bytes != nullptr;
    }
    // A row without escapes.
    void idle(const SideEnd& side_end) { escapes = {side_end.room(), 0}; }
    bool complete() const { return escapes.used == escapes.size; }
    // Whether whole blocks were decoded as they should be.
    bool certain() const { return escapes.counts < kShortTake; }
    // Makes the codes of a whole block available in `taken`, the row's escapes while it is decoded.
    inline __attribute__((always_inline)) void prepare(Stream& taken) { taken.hold(); }
  };

  explicit Hi3(const PackedTables& tables) : table_(Ops::table<3>(tables.level1)), escape_(Ops::fill(tables.escape1)) {}

  // Part `part` of group kIndex before its escapes.
  template <size_t kIndex>
  inline __attribute__((always_inline)) Ops::Bytes first(const Codes& codes, size_t part) const {
    return lookup_three_bits<kIndex>(table_, codes, part);
  }
  Ops::Bytes escape() const { return escape_; }
  template <typename Sink>
  static inline __attribute__((always_inline)) void put(const uint8_t* raw, size_t part, Ops::Bytes coded, Sink& sink) {
    put_high_bytes(raw, part, coded, sink);
  }

 private:
  Ops::Table table_;
  Ops::Bytes escape_;
};

// Codes of two (e2+3) or three bits (e3+3): exponents and an escape to three-bit codes of the row's side stream: seven
// more exponents and an escape to whole exponents. The codes of the second level are decoded some blocks ahead into a
// buffer.
template <PackedLayout kTwoLevels>
struct TwoLevels {
  static constexpr PackedLayout kLayout = kTwoLevels;
  using Escapes = UncheckedStream;
  static constexpr int kFirstBits = kTwoLevels == PackedLayout::kE2p3 ? 2 : 3;

  struct Row {
    static constexpr size_t kBuffer = 2048;
    static constexpr bool unchecked = true;

    Stream escapes;  // exponents and codes of the second level that are decoded
    const uint8_t* planes;
    size_t plane_bytes;  // of each of the three planes, still to be decoded
    size_t chunk_bytes;  // of each plane of the last chunk
    Ops::Table table;
    Ops::Bytes escape;
    Stream second;  // escapes of the second level
    uint8_t codes[kBuffer + kBlockRoom];

    void open(const PackedTables& tables, const PackedRows& rows, size_t row, SideEnd&) {
      const uint8_t* const entry = rows.table + 8 * row;
      const uint32_t begin = load_u32(entry), middle = load_u32(entry + 4);
      planes = rows.side + begin;
      plane_bytes = (middle - begin) / 3;
      table = Ops::table<3>(tables.level2);
      escape = Ops::fill(tables.escape2);
      second = {rows.side + middle, load_u32(entry + 8) - middle};
      escapes = {codes, 0};
    }
    void idle(const SideEnd&) {
      escapes = {codes, 0};
      plane_bytes = 0;
    }

    static constexpr bool certain() { return true; }
    // The last chunk may end with up to seven codes that are not used, of which all bits are 0.
    bool complete() const {
      if (plane_bytes != 0 || second.used != second.size || escapes.used > escapes.size) return false;
      const size_t unused = escapes.size - escapes.used;
      if (unused == 0 || unused >= 8) return unused == 0;
      const uint8_t* const last = planes - 1;
      const unsigned bits = last[0] | *(last - chunk_bytes) | *(last - 2 * chunk_bytes);
      return bits >> (8 - unused) == 0;
    }

    inline __attribute__((always_inline)) void prepare(Stream& taken) {
      taken.hold();
      if (taken.size < taken.used + 8 * kGroup && plane_bytes != 0) taken = refill(taken);
    }

   private:
    // Moves what is left of `ahead` to the front and decodes what fits behind it.
    __attribute__((noinline)) Stream refill(Stream ahead) {
      size_t end = ahead.used < ahead.size ? ahead.size - ahead.used : 0;
      std::memmove(codes, ahead.next(), end);
      for (; plane_bytes >= 8 && end + kGroup <= kBuffer; end += kGroup) decode_chunk(8, codes + end);
      if (plane_bytes > 0 && plane_bytes < 8 && end + kGroup <= kBuffer) {
        const size_t last = plane_bytes;
        decode_chunk(last, codes + end);
        end += 8 * last;
      }
      return {codes, end};
    }

    inline __attribute__((always_inline)) void decode_chunk(size_t bytes, uint8_t* to) {
      uint64_t bits[3] = {};
      for (size_t p = 0; p < 3; ++p) std::memcpy(&bits[p], planes + p * bytes, bytes);
      planes += 3 * bytes;
      plane_bytes -= bytes;
      chunk_bytes = bytes;
      for (size_t part = 0; part < kGroup / LPC_VECTOR_BYTES; ++part) {
        const Ops::Bytes first = Ops::lookup<0, 3>(table, Ops::join_planes(bits, part));
        const Ops::Bytes all = Ops::expand(first, Ops::match(first, escape), second);
        std::memcpy(to + part * LPC_VECTOR_BYTES, &all, sizeof all);
      }
    }
  };

  explicit TwoLevels(const PackedTables& tables)
      : table_(Ops::table<kFirstBits>(tables.level1)), escape_(Ops::fill(tables.escape1)) {}

  template <size_t kIndex>
  inline __attribute__((always_inline)) Ops::Bytes first(const Codes& codes, size_t part) const {
    if constexpr (kFirstBits == 3) {
      return lookup_three_bits<kIndex>(table_, codes, part);
    } else {
      return Ops::lookup<2 * (kIndex % 4), 2>(table_, codes.get(kIndex / 4, part));
    }
  }
  Ops::Bytes escape() const { return escape_; }
  template <typename Sink>
  static inline __attribute__((always_inline)) void put(const uint8_t* raw, size_t part, Ops::Bytes coded, Sink& sink) {
    put_exponents(raw, part, coded, sink);
  }

 private:
  Ops::Table table_;
  Ops::Bytes escape_;
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
