// The parameters of an `ans` tensor: its symbols and their frequencies (docs/format.md, 4.2).
#pragma once

#include "codecs/codec.h"
#include "simd/ans.h"

namespace lpc::ans {

inline constexpr uint8_t kNarrow = 1;
inline constexpr uint8_t kWide = 2;
inline constexpr uint32_t kMaxFrequency = kAnsSlots - 1;

// The kind of table that a dtype has: an exponent of eight bits takes few values, other code bytes many.
constexpr uint8_t table_kind(uint32_t dtype) {
  return dtype == LPC_DTYPE_BF16 || dtype == LPC_DTYPE_FP32 ? kNarrow : kWide;
}
constexpr size_t table_symbols(uint8_t kind) { return kind == kNarrow ? kAnsSymbols : 256; }

// Fields, from the start of the parameters.
inline constexpr size_t kKindOffset = 0;
inline constexpr size_t kEscapeOffset = 1;
inline constexpr size_t kReservedOffset = 2;
inline constexpr size_t kSymbolsOffset = 16;  // narrow only
constexpr size_t frequencies_offset(uint8_t kind) { return kind == kNarrow ? kSymbolsOffset + kAnsSymbols : 16; }
constexpr size_t params_bytes(uint8_t kind) { return frequencies_offset(kind) + 2 * table_symbols(kind); }

// How often each code byte occurs in a tensor.
struct Counts {
  uint64_t of[256] = {};
};
Counts count_codes(uint32_t dtype, Bytes src);

std::vector<uint8_t> make_params(uint32_t dtype, const Counts& counts);

// Throws LPC_FORMAT_ERROR.
void check_params(uint32_t dtype, Bytes params);

// Of checked parameters.
void read_table(Bytes params, AnsTable& table);

}  // namespace lpc::ans
