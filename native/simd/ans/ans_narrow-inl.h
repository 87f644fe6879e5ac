// The narrow `ans` decoder one state at a time: the reference, and the end of a segment for the others. In an unnamed
// namespace, so that no two translation units share code.
#pragma once

#include "simd/ans/ans.h"

namespace lpc {
namespace {

// Each instruction set uses what it needs of these.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

struct AnsNarrowStep {
  uint32_t symbol;
  uint32_t offset;
};

inline AnsNarrowStep ans_look_up(const AnsNarrow& table, uint32_t state) {
  const uint32_t bucket = state % AnsNarrow::kSlots / AnsNarrow::kBucket;
  const uint32_t rest = state % AnsNarrow::kBucket;
  if (rest < table.divider[bucket]) return {bucket, rest};
  return {table.alias[bucket], (rest + table.delta[bucket]) % 256};
}

// Puts the next escapes in the places of 64 code bytes whose bits are set; false if there are not as many.
inline bool ans_fill_escapes(AnsNarrowStream& stream, uint64_t places, uint8_t* codes) {
  for (; places != 0; places &= places - 1) {
    if (stream.escapes == stream.escapes_end) return false;
    codes[__builtin_ctzll(places)] = *stream.escapes++;
  }
  return true;
}

// One group, or the `n` first code bytes of it.
inline bool ans_decode_group(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes) {
  uint64_t escaped[AnsNarrow::kStates / 64] = {};
  for (size_t s = 0; s < AnsNarrow::kStates; ++s) {
    const size_t position = AnsNarrow::position(s);
    if (position >= n) continue;
    const AnsNarrowStep step = ans_look_up(table, stream.states[s]);
    uint32_t state = table.frequency[step.symbol] * (uint32_t{stream.states[s]} >> 8) + step.offset;
    if (state < AnsNarrow::kLowest) {
      if (stream.bytes == stream.bytes_end) return false;
      state = state << 8 | *stream.bytes++;
    }
    stream.states[s] = static_cast<uint16_t>(state);
    codes[position] = table.symbols[step.symbol];
    if (step.symbol == AnsNarrow::kEscapeSymbol) escaped[position / 64] |= uint64_t{1} << position % 64;
  }
  return ans_fill_escapes(stream, escaped[0], codes) && ans_fill_escapes(stream, escaped[1], codes + 64);
}

inline bool ans_decode_narrow_from(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes) {
  for (size_t i = 0; i < n; i += AnsNarrow::kStates) {
    const size_t in_group = n - i < AnsNarrow::kStates ? n - i : AnsNarrow::kStates;
    if (!ans_decode_group(table, stream, in_group, codes + i)) return false;
  }
  return true;
}

// Codes one code byte on `state`; `bytes` moves down if the state gives a byte away.
inline uint32_t ans_put(const AnsNarrowEncoder& table, uint8_t code, uint32_t state, uint8_t*& bytes) {
  const AnsNarrowEncoder::Symbol& symbol = table.of_code[code];
  const uint32_t full = state >= uint32_t{symbol.frequency} << 8;  // no branch on it: it is as good as random
  bytes[-1] = static_cast<uint8_t>(state);                         // kept only if full
  bytes -= full;
  state >>= 8 * full;
  const auto quotient = static_cast<uint32_t>(uint64_t{state} * symbol.reciprocal >> 24);
  const uint32_t rest = state - quotient * symbol.frequency;
  return quotient << 8 | table.slots[symbol.first + rest];
}

// floor(65536 / frequency), or one less for a frequency of 1: bytes for look-ups by symbol.
struct AnsReciprocals {
  alignas(16) uint8_t low[AnsNarrow::kSymbols];
  alignas(16) uint8_t high[AnsNarrow::kSymbols];

  explicit AnsReciprocals(const AnsNarrowEncoder& table) {
    for (size_t i = 0; i < AnsNarrow::kSymbols; ++i) {
      const uint32_t f = table.frequency[i];
      const uint32_t reciprocal = f < 2 ? 65535 : 65536 / f;
      low[i] = static_cast<uint8_t>(reciprocal);
      high[i] = static_cast<uint8_t>(reciprocal >> 8);
    }
  }
};

// Those of 64 code bytes whose bits are set.
inline void ans_write_escapes(const uint8_t* codes, uint64_t places, AnsNarrowWriter& writer) {
  while (places != 0) {
    const int place = 63 - __builtin_clzll(places);
    *--writer.escapes = codes[place];
    places ^= uint64_t{1} << place;
  }
}

inline void ans_encode_narrow(const AnsNarrowEncoder& table, const uint8_t* codes, size_t n, AnsNarrowWriter& writer) {
  constexpr size_t kStates = AnsNarrow::kStates;
  uint8_t* bytes = writer.bytes;
  uint16_t* const states = writer.states;
  const size_t whole = n / kStates * kStates;
  for (size_t s = kStates; s-- > 0;) {
    const size_t position = whole + AnsNarrow::position(s);
    if (position < n) states[s] = static_cast<uint16_t>(ans_put(table, codes[position], states[s], bytes));
  }
  constexpr size_t kRun = 32;  // states whose positions are two apart
  static_assert(AnsNarrow::position(kRun - 1) == 2 * (kRun - 1) && AnsNarrow::position(kRun) == 1);
  for (const uint8_t* group = codes + whole; group != codes;) {
    group -= kStates;
    for (size_t run = kStates / kRun; run-- > 0;) {
      uint16_t* const of_run = states + kRun * run;
      const uint8_t* const from = group + AnsNarrow::position(kRun * run);
#pragma GCC unroll 8
      for (int i = kRun - 1; i >= 0; --i) {
        of_run[i] = static_cast<uint16_t>(ans_put(table, from[2 * i], of_run[i], bytes));
      }
    }
  }
  writer.bytes = bytes;
  if (table.frequency[AnsNarrow::kEscapeSymbol] == 0) return;
  uint8_t* escapes = writer.escapes;
  for (size_t i = n; i-- > 0;) {
    if (__builtin_expect(table.symbol[codes[i]] == AnsNarrow::kEscapeSymbol, 0)) *--escapes = codes[i];
  }
  writer.escapes = escapes;
}

#pragma GCC diagnostic pop

}  // namespace
}  // namespace lpc
