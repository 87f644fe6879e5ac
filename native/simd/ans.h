// Kernels of the `ans` codec (docs/format.md, 4.2): code bytes out of 64 interleaved rANS states.
//
// A group is 64 code bytes, one of each state. State s gives byte ans_position(s) of its group, so that four vectors of
// 32-bit states make one vector of bytes without crossing lanes. All implementations give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

inline constexpr size_t kAnsStates = 64;
inline constexpr unsigned kAnsPrecision = 12;  // bits
inline constexpr uint32_t kAnsSlots = 1u << kAnsPrecision;
inline constexpr uint32_t kAnsLowest = 1u << 16;  // no state is smaller
inline constexpr size_t kAnsSymbols = 16;         // of a narrow table
inline constexpr uint32_t kAnsBucket = kAnsSlots / kAnsSymbols;
inline constexpr size_t kAnsPadding = 2 * kAnsStates;  // bytes after the words that kernels may read

constexpr size_t ans_position(size_t state) { return state % 16 * 4 + state / 16; }

// What the low 12 bits of a state stand for. A narrow table has 16 symbols: bucket b = bits 8 to 11 stands for symbol b
// while the low byte r is below divider[b], then for alias[b]. A wide table has 256 symbols.
struct AnsTable {
  bool narrow = false;
  bool has_escape = false;  // narrow: symbol 15 stands for the next byte of the escapes
  alignas(16) uint8_t symbols[kAnsSymbols] = {};
  alignas(16) uint8_t divider[kAnsSymbols] = {};
  alignas(16) uint8_t alias[kAnsSymbols] = {};
  uint16_t frequency[kAnsSymbols] = {};
  int16_t delta[kAnsSymbols] = {};        // of the alias: its offset is r + delta; that of the bucket's own symbol is r
  alignas(64) uint32_t slots[kAnsSlots];  // wide only, else not set: symbol | frequency << 8 | offset << 20
};

struct AnsStream {
  const uint8_t* words = nullptr;  // u16, any alignment; kAnsPadding bytes can be read after the end
  const uint8_t* words_end = nullptr;
  const uint8_t* escapes = nullptr;
  const uint8_t* escapes_end = nullptr;
  alignas(64) uint32_t states[kAnsStates] = {};
};

struct AnsKernels {
  // Decodes the next n code bytes; n is a multiple of 64 but in the last call. False if words or escapes run out, and
  // the stream is then undefined.
  bool (*decode)(const AnsTable& table, AnsStream& stream, size_t n, uint8_t* codes);
};

// The kernels of active_isa().
const AnsKernels& ans_kernels();

}  // namespace lpc
