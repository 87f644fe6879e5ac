// Kernels of the `ans` codec (docs/format.md, 4.2): code bytes out of interleaved rANS states.
//
// A narrow stream has 16 symbols, 256 slots and 128 states of 16 bits, which give and take bytes; a wide one has 256
// symbols, 4096 slots and 64 states of 32 bits, which give and take 16-bit words. A group is a code byte of each state.
// All implementations give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

inline constexpr size_t kAnsPadding = 128;  // bytes after bytes or words that kernels may read

// What the low byte of a state stands for. Bucket b, its bits 4 to 7, stands for symbol b while its low four bits r are
// below divider[b], with offset r; then for alias[b], with offset r + delta[b] modulo 256.
struct AnsNarrow {
  static constexpr size_t kStates = 128;
  static constexpr size_t kSymbols = 16;
  static constexpr size_t kEscapeSymbol = kSymbols - 1;
  static constexpr uint32_t kSlots = 256;
  static constexpr uint32_t kBucket = kSlots / kSymbols;
  static constexpr uint32_t kLowest = 1u << 8;  // no state is smaller

  // Where in its group the code byte of a state stands: two vectors of 32 states make one of 64 bytes without crossing
  // lanes, and so do two of 16 or 8.
  static constexpr size_t position(size_t state) { return state / 64 * 64 + state % 32 * 2 + state % 64 / 32; }

  alignas(16) uint8_t symbols[kSymbols] = {};  // code bytes; that of the escape symbol is one that no other has
  alignas(16) uint8_t frequency[kSymbols] = {};
  alignas(16) uint8_t divider[kSymbols] = {};
  alignas(16) uint8_t alias[kSymbols] = {};
  alignas(16) uint8_t delta[kSymbols] = {};
};

struct AnsNarrowStream {
  const uint8_t* bytes = nullptr;  // kAnsPadding bytes can be read after the end
  const uint8_t* bytes_end = nullptr;
  const uint8_t* escapes = nullptr;
  const uint8_t* escapes_end = nullptr;
  alignas(64) uint16_t states[AnsNarrow::kStates] = {};
};

// A narrow table the other way round, by code byte; where the table has none, it is that of the escape.
struct AnsNarrowEncoder {
  // All of a symbol, for one at a time. x / frequency is (x * reciprocal) >> 24, exactly for every x < frequency << 8.
  struct Symbol {
    uint32_t reciprocal;
    uint16_t frequency;
    uint16_t first;  // of its offsets in `slots`
  };
  Symbol of_code[256];
  alignas(64) uint8_t symbol[256];
  alignas(64) uint8_t slots[AnsNarrow::kSlots];  // of each offset of each symbol
  alignas(16) uint8_t frequency[AnsNarrow::kSymbols];
  alignas(16) uint8_t first[AnsNarrow::kSymbols];
};

inline constexpr size_t kAnsSpare = 8;  // bytes before those that an encoder writes, which it may change

// Bytes and escapes come from the last to the first, so both pointers move down.
struct AnsNarrowWriter {
  uint8_t* bytes = nullptr;  // kAnsSpare before them
  uint8_t* escapes = nullptr;
  alignas(64) uint16_t states[AnsNarrow::kStates] = {};
};

struct AnsWide {
  static constexpr size_t kStates = 64;
  static constexpr size_t kSymbols = 256;
  static constexpr unsigned kPrecision = 12;  // bits
  static constexpr uint32_t kSlots = 1u << kPrecision;
  static constexpr uint32_t kLowest = 1u << 16;

  // Four vectors of states make one of bytes by shifts alone.
  static constexpr size_t position(size_t state) { return state % 16 * 4 + state / 16; }

  alignas(64) uint32_t slots[kSlots];  // symbol | frequency << 8 | offset << 20
};

struct AnsWideStream {
  const uint8_t* words = nullptr;  // u16, any alignment; kAnsPadding bytes can be read after the end
  const uint8_t* words_end = nullptr;
  alignas(64) uint32_t states[AnsWide::kStates] = {};
};

// Decoders: the next n code bytes; n is whole groups but in the last call. False if the stream runs out, and it is then
// undefined.
struct AnsKernels {
  bool (*decode_narrow)(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes);
  // Codes n code bytes that come before those already coded; n is whole groups but in the first call.
  void (*encode_narrow)(const AnsNarrowEncoder& table, const uint8_t* codes, size_t n, AnsNarrowWriter& writer);
  bool (*decode_wide)(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes);
};

// The kernels of active_isa().
const AnsKernels& ans_kernels();

}  // namespace lpc
