// The wide `ans` decoder one state at a time: the reference, and the end of a segment for the others. In an unnamed
// namespace, so that no two translation units share code.
#pragma once

#include <cstring>

#include "simd/ans/ans.h"

namespace lpc {
namespace {

// Each instruction set uses what it needs of these.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

// One group, or the `n` first code bytes of it.
inline bool ans_decode_group(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes) {
  for (size_t s = 0; s < AnsWide::kStates; ++s) {
    const size_t position = AnsWide::position(s);
    if (position >= n) continue;
    const uint32_t entry = table.slots[stream.states[s] % AnsWide::kSlots];
    const uint32_t frequency = entry >> 8 & (AnsWide::kSlots - 1);
    uint32_t state = frequency * (stream.states[s] >> AnsWide::kPrecision) + (entry >> 20);
    if (state < AnsWide::kLowest) {
      if (stream.words == stream.words_end) return false;
      uint16_t word;
      std::memcpy(&word, stream.words, sizeof word);
      stream.words += sizeof word;
      state = state << 16 | word;
    }
    stream.states[s] = state;
    codes[position] = static_cast<uint8_t>(entry);
  }
  return true;
}

inline bool ans_decode_wide_from(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes) {
  for (size_t i = 0; i < n; i += AnsWide::kStates) {
    const size_t in_group = n - i < AnsWide::kStates ? n - i : AnsWide::kStates;
    if (!ans_decode_group(table, stream, in_group, codes + i)) return false;
  }
  return true;
}

#pragma GCC diagnostic pop

}  // namespace
}  // namespace lpc
