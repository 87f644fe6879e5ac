// The `ans` decoder one state at a time: the reference, and the end of a segment for the others. In an unnamed
// namespace, so that no two translation units share code.
#pragma once

#include <cstring>

#include "simd/ans.h"

namespace lpc {
namespace {

// Each instruction set uses what it needs of these.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

struct AnsStep {
  uint32_t symbol;
  uint32_t frequency;
  uint32_t offset;
};

template <bool kNarrow>
inline AnsStep ans_look_up(const AnsTable& table, uint32_t state) {
  const uint32_t slot = state % kAnsSlots;
  if constexpr (kNarrow) {
    const uint32_t bucket = slot / kAnsBucket;
    const uint32_t rest = slot % kAnsBucket;
    if (rest < table.divider[bucket]) return {bucket, table.frequency[bucket], rest};
    const uint32_t symbol = table.alias[bucket];
    return {symbol, table.frequency[symbol], rest + static_cast<uint32_t>(table.delta[bucket])};
  } else {
    const uint32_t entry = table.slots[slot];
    return {entry & 255, entry >> 8 & (kAnsSlots - 1), entry >> 20};
  }
}

// Puts the next escapes in the places of a group whose bits are set; false if there are not as many.
inline bool ans_fill_escapes(AnsStream& stream, uint64_t places, uint8_t* codes) {
  for (; places != 0; places &= places - 1) {
    if (stream.escapes == stream.escapes_end) return false;
    codes[__builtin_ctzll(places)] = *stream.escapes++;
  }
  return true;
}

// One group, or the `n` first code bytes of it.
template <bool kNarrow>
inline bool ans_decode_group(const AnsTable& table, AnsStream& stream, size_t n, uint8_t* codes) {
  uint64_t escaped = 0;
  for (size_t s = 0; s < kAnsStates; ++s) {
    const size_t position = ans_position(s);
    if (position >= n) continue;
    const AnsStep step = ans_look_up<kNarrow>(table, stream.states[s]);
    uint32_t state = step.frequency * (stream.states[s] >> kAnsPrecision) + step.offset;
    if (state < kAnsLowest) {
      if (stream.words == stream.words_end) return false;
      uint16_t word;
      std::memcpy(&word, stream.words, sizeof word);
      stream.words += sizeof word;
      state = state << 16 | word;
    }
    stream.states[s] = state;
    codes[position] = static_cast<uint8_t>(kNarrow ? table.symbols[step.symbol] : step.symbol);
    if (kNarrow && table.has_escape && step.symbol == kAnsSymbols - 1) escaped |= uint64_t{1} << position;
  }
  return ans_fill_escapes(stream, escaped, codes);
}

template <bool kNarrow>
inline bool ans_decode_from(const AnsTable& table, AnsStream& stream, size_t n, uint8_t* codes) {
  for (size_t i = 0; i < n; i += kAnsStates) {
    const size_t in_group = n - i < kAnsStates ? n - i : kAnsStates;
    if (!ans_decode_group<kNarrow>(table, stream, in_group, codes + i)) return false;
  }
  return true;
}

#pragma GCC diagnostic pop

}  // namespace
}  // namespace lpc
