// The parameters of an `ans` tensor (docs/format.md, 4.2).
#pragma once

#include "codecs/codec.h"
#include "simd/ans/ans.h"

namespace lpc::ans {

inline constexpr uint8_t kWide = 2;
inline constexpr uint8_t kNarrow = 3;
inline constexpr uint8_t kBias = 0;  // the exponent's code byte is its distance from 0

// The kind of tables that a dtype has: exponents take few values, other code bytes many.
constexpr uint8_t table_kind(uint32_t dtype) {
  return dtype == LPC_DTYPE_BF16 || dtype == LPC_DTYPE_FP16 || dtype == LPC_DTYPE_FP32 ? kNarrow : kWide;
}

// Fields, from the start of the parameters.
inline constexpr size_t kKindOffset = 0;
inline constexpr size_t kFrequenciesOffset = 16;  // wide only
constexpr size_t params_bytes(uint8_t kind) {
  return kind == kNarrow ? kFrequenciesOffset : kFrequenciesOffset + 2 * AnsWide::kSymbols;
}

// How often each code byte occurs in a tensor.
struct Counts {
  uint64_t of[256] = {};
};
Counts count_codes(uint32_t dtype, Bytes src);

// `counts` matter for wide tables only.
std::vector<uint8_t> make_params(uint32_t dtype, const Counts& counts);

// Throws LPC_FORMAT_ERROR.
void check_params(uint32_t dtype, Bytes params);

// Of checked parameters.
void read_table(Bytes params, AnsWide& table);

}  // namespace lpc::ans
