#include "codecs/ans/params.h"

#include <algorithm>
#include <array>
#include <utility>

#include "codecs/ans/frequencies.h"
#include "codecs/layout.h"
#include "simd/split/split.h"

namespace lpc::ans {

Counts count_codes(uint32_t dtype, Bytes src) {
  constexpr size_t kTables = 8;  // neighbours are often equal: counting them apart avoids waiting for each other
  constexpr size_t kChunk = 4096;
  constexpr size_t kChunksPerFlush = 65536;  // long before 32 bits of a count are full
  std::vector<std::array<uint32_t, 256>> apart(kTables);
  alignas(64) uint8_t codes[kChunk];
  Counts counts;
  for (size_t begin = 0; begin < src.size(); begin += kChunk) {  // elements of a byte, without raw bytes
    const size_t count = std::min(kChunk, src.size() - begin);
    split_kernels().split[dtype](&src[begin], count, kBias, codes, nullptr, 0);
    size_t i = 0;
    for (; i + kTables <= count; i += kTables) {
      const uint64_t eight = load<uint64_t>(codes + i);
      for (size_t t = 0; t < kTables; ++t) ++apart[t][eight >> 8 * t & 255];
    }
    for (; i < count; ++i) ++counts.of[codes[i]];
    if (begin / kChunk % kChunksPerFlush != kChunksPerFlush - 1 && begin + kChunk < src.size()) continue;
    for (auto& table : apart) {
      for (size_t code = 0; code < 256; ++code) counts.of[code] += std::exchange(table[code], 0);
    }
  }
  return counts;
}

std::vector<uint8_t> make_params(uint32_t dtype, const Counts& counts) {
  const uint8_t kind = table_kind(dtype);
  std::vector<uint8_t> params(params_bytes(kind), 0);
  params[kKindOffset] = kind;
  if (kind == kNarrow) return params;
  uint32_t frequencies[AnsWide::kSymbols];
  normalise(counts.of, AnsWide::kSymbols, AnsWide::kSlots, frequencies);
  for (size_t i = 0; i < AnsWide::kSymbols; ++i) {
    store(&params[kFrequenciesOffset + 2 * i], static_cast<uint16_t>(frequencies[i]));
  }
  return params;
}

void check_params(uint32_t dtype, Bytes params) {
  const uint8_t kind = table_kind(dtype);
  if (params.size() != params_bytes(kind)) {
    throw_malformed(field::kCodecParamsBytes, params.size(), std::to_string(params_bytes(kind)) + " for this dtype");
  }
  const auto fail = [&](const std::string& name, size_t offset, uint64_t got, const std::string& expected) {
    throw_field(LPC_FORMAT_ERROR, "codec_params." + name, offset, std::to_string(got), expected);
  };
  if (params[kKindOffset] != kind) fail("kind", kKindOffset, params[kKindOffset], std::to_string(kind));
  for (size_t i = kKindOffset + 1; i < kFrequenciesOffset; ++i) {
    if (params[i] != 0) fail("reserved", i, params[i], "0");
  }
  if (kind == kNarrow) return;
  uint32_t sum = 0;
  for (size_t i = 0; i < AnsWide::kSymbols; ++i) {
    const size_t offset = kFrequenciesOffset + 2 * i;
    const uint32_t f = load<uint16_t>(&params[offset]);
    sum += f;
    const std::string name = "frequency[" + std::to_string(i) + "]";
    if (f >= AnsWide::kSlots) fail(name, offset, f, "at most 4095");
    if (sum > AnsWide::kSlots) fail(name, offset, f, "a sum of 4096");
  }
  if (sum != AnsWide::kSlots) fail("frequency", kFrequenciesOffset, sum, "a sum of 4096");
}

void read_table(Bytes params, AnsWide& table) {
  uint32_t* slot = table.slots;
  for (uint32_t symbol = 0; symbol < AnsWide::kSymbols; ++symbol) {
    const uint32_t f = load<uint16_t>(&params[kFrequenciesOffset + 2 * symbol]);
    for (uint32_t offset = 0; offset < f; ++offset) *slot++ = symbol | f << 8 | offset << 20;
  }
}

}  // namespace lpc::ans
