// Symbols are coded from the last to the first, so that the decoder meets them in order; words fill a buffer from its
// end.
#include "codecs/ans/ans_encode.h"

#include <algorithm>

#include "codecs/ans/ans_decode.h"
#include "codecs/ans/params.h"
#include "codecs/ans/segment_layout.h"
#include "simd/ans-inl.h"

namespace lpc::ans {
namespace {

constexpr unsigned kReciprocalBits = 44;

// By code byte. x / frequency is (x * reciprocal) >> 44, exactly for every x < frequency << 20, and fits 64 bits there.
struct Symbol {
  uint64_t reciprocal = 0;
  uint32_t frequency = 0;
  uint32_t first = 0;  // of its part of EncodeTable::slots
};

struct EncodeTable {
  Symbol symbols[256];
  uint16_t slots[kAnsSlots];  // slot of each offset of each symbol
  bool escapes[256] = {};     // code bytes that the table has no symbol for
};

template <bool kNarrowTable>
void place_slots(const AnsTable& table, const uint32_t* first, EncodeTable& encode) {
  for (uint32_t slot = 0; slot < kAnsSlots; ++slot) {
    const AnsStep step = ans_look_up<kNarrowTable>(table, slot);
    encode.slots[first[step.symbol] + step.offset] = static_cast<uint16_t>(slot);
  }
}

EncodeTable make_table(Bytes params) {
  AnsTable table;
  read_table(params, table);
  const uint8_t kind = table.narrow ? kNarrow : kWide;
  const size_t count = table_symbols(kind);
  Symbol symbols[256];
  uint32_t first[256];
  uint32_t slots = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t f = load<uint16_t>(&params[frequencies_offset(kind) + 2 * i]);
    const uint64_t reciprocal = f == 0 ? 0 : ((uint64_t{1} << kReciprocalBits) + f - 1) / f;
    symbols[i] = {reciprocal, f, slots};
    first[i] = slots;
    slots += f;
  }
  EncodeTable encode;
  table.narrow ? place_slots<true>(table, first, encode) : place_slots<false>(table, first, encode);
  if (!table.narrow) {
    std::copy_n(symbols, 256, encode.symbols);
    return encode;
  }
  std::fill_n(encode.symbols, 256, symbols[kAnsSymbols - 1]);
  std::fill_n(encode.escapes, 256, table.has_escape);
  for (size_t i = kAnsSymbols - table.has_escape; i-- > 0;) {
    if (symbols[i].frequency == 0) continue;
    encode.symbols[table.symbols[i]] = symbols[i];
    encode.escapes[table.symbols[i]] = false;
  }
  return encode;
}

// Codes one symbol on `state`; `words` moves down if the state gives a word away.
inline uint32_t put(const EncodeTable& table, uint8_t code, uint32_t state, uint8_t*& words) {
  const Symbol& symbol = table.symbols[code];
  const uint32_t full = state >= symbol.frequency << 20;  // no branch on it: it is as good as random
  const auto word = static_cast<uint16_t>(state);
  std::memcpy(words - 2, &word, 2);  // kept only if full
  words -= 2 * full;
  state >>= 16 * full;
  const auto quotient = static_cast<uint32_t>(state * symbol.reciprocal >> kReciprocalBits);
  const uint32_t rest = state - quotient * symbol.frequency;
  return (quotient << kAnsPrecision) + table.slots[symbol.first + rest];
}

// Codes all n bytes; returns where the words begin, which end at `words`.
uint8_t* put_all(const EncodeTable& table, const uint8_t* codes, size_t n, uint32_t* states, uint8_t* words) {
  std::fill_n(states, kAnsStates, kAnsLowest);
  const size_t whole = n / kAnsStates * kAnsStates;
  for (size_t s = kAnsStates; s-- > 0;) {
    const size_t position = whole + ans_position(s);
    if (position < n) states[s] = put(table, codes[position], states[s], words);
  }
  for (const uint8_t* group = codes + whole; group != codes;) {
    group -= kAnsStates;
#pragma GCC unroll 64
    for (size_t s = kAnsStates; s-- > 0;) states[s] = put(table, group[ans_position(s)], states[s], words);
  }
  return words;
}

size_t collect_escapes(const EncodeTable& table, const uint8_t* codes, size_t n, uint8_t* to) {
  size_t count = 0;
  for (size_t i = 0; i < n; ++i) {
    if (__builtin_expect(table.escapes[codes[i]], 0)) to[count++] = codes[i];
  }
  return count;
}

}  // namespace

// Code bytes, escapes, words (with one to spare).
size_t encode_scratch_bytes(const SegmentShape& shape) { return 4 * shape.elements() + 2; }

size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch) {
  const Layout layout(shape);
  if (dst.size() < min_stored_bytes(shape)) return 0;
  const EncodeTable table = make_table(params);
  const size_t n = layout.elements;
  uint8_t* const codes = scratch.data();
  uint8_t* const escapes = codes + n;
  uint8_t* const words_end = scratch.data() + scratch.size();
  split_kernels().split[shape.dtype](src.data(), n, kBias, codes, dst.data() + kRawOffset, n);
  uint32_t states[kAnsStates];
  uint8_t* const words = put_all(table, codes, n, states, words_end);
  const size_t word_bytes = static_cast<size_t>(words_end - words);
  const size_t escape_count = collect_escapes(table, codes, n, escapes);
  const size_t size = layout.words_offset + word_bytes + escape_count + kAnsPadding;
  if (size > dst.size()) return 0;
  std::memset(dst.data(), 0, kStatesOffset);
  store(&dst[kWordCountOffset], static_cast<uint32_t>(word_bytes / 2));
  store(&dst[kEscapeCountOffset], static_cast<uint32_t>(escape_count));
  std::memcpy(&dst[kStatesOffset], states, sizeof states);
  uint8_t* to = dst.data() + layout.words_offset;
  to = std::copy_n(words, word_bytes, to);
  to = std::copy_n(escapes, escape_count, to);
  std::memset(to, 0, kAnsPadding);
  return size;
}

}  // namespace lpc::ans
