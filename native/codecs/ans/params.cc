#include "codecs/ans/params.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "codecs/ans/segment_layout.h"

namespace lpc::ans {
namespace {

using Frequencies = std::vector<uint32_t>;

constexpr size_t kChunksPerFlush = 65536;  // long before 32 bits of a count are full

// Frequencies that sum up to 2^12: at least 1 for what occurs, and at most kMaxFrequency. Moves one slot at a time from
// or to the symbol whose code lengths change least for it; all arithmetic is exact or correctly rounded, so that every
// machine chooses the same.
Frequencies normalise(const std::vector<uint64_t>& counts) {
  const uint64_t total = std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  Frequencies f(counts.size(), 0);
  if (total == 0) {
    f[0] = kMaxFrequency;
    f[1] = kAnsSlots - kMaxFrequency;
    return f;
  }
  int64_t missing = kAnsSlots;
  for (size_t i = 0; i < f.size(); ++i) {
    if (counts[i] == 0) continue;
    const double share = static_cast<double>(counts[i]) * kAnsSlots / static_cast<double>(total);
    f[i] = std::clamp<uint32_t>(static_cast<uint32_t>(share + 0.5), 1, kMaxFrequency);
    missing -= f[i];
  }
  for (; missing < 0; ++missing) {  // what one slot less costs: about count / (f - 1/2)
    size_t cheapest = f.size();
    for (size_t i = 0; i < f.size(); ++i) {
      if (f[i] < 2) continue;
      if (cheapest == f.size() || static_cast<double>(counts[i]) * (2 * f[cheapest] - 1) <
                                      static_cast<double>(counts[cheapest]) * (2 * f[i] - 1)) {
        cheapest = i;
      }
    }
    --f[cheapest];
  }
  for (; missing > 0; --missing) {  // what one slot more saves: about count / (f + 1/2); nothing where nothing occurs
    size_t best = f.size();
    for (size_t i = 0; i < f.size(); ++i) {
      if (f[i] == kMaxFrequency) continue;
      if (best == f.size() ||
          static_cast<double>(counts[i]) * (2 * f[best] + 1) > static_cast<double>(counts[best]) * (2 * f[i] + 1)) {
        best = i;
      }
    }
    ++f[best];
  }
  return f;
}

std::vector<uint8_t> start_params(uint8_t kind) {
  std::vector<uint8_t> params(params_bytes(kind), 0);
  params[kKindOffset] = kind;
  return params;
}

void put_frequencies(uint8_t kind, const Frequencies& f, std::vector<uint8_t>& params) {
  for (size_t i = 0; i < f.size(); ++i) {
    store(&params[frequencies_offset(kind) + 2 * i], static_cast<uint16_t>(f[i]));
  }
}

// The 16 most frequent code bytes, or 15 and the escape.
std::vector<uint8_t> narrow_params(const Counts& counts) {
  uint8_t values[256];
  std::iota(values, values + 256, uint8_t{0});
  std::stable_sort(values, values + 256, [&](uint8_t a, uint8_t b) { return counts.of[a] > counts.of[b]; });
  const size_t used = static_cast<size_t>(std::count_if(counts.of, counts.of + 256, [](uint64_t n) { return n != 0; }));
  std::vector<uint8_t> params = start_params(kNarrow);
  std::vector<uint64_t> kept(kAnsSymbols, 0);
  const bool escape = used > kAnsSymbols;
  const size_t own = escape ? kAnsSymbols - 1 : used;
  for (size_t i = 0; i < own; ++i) {
    params[kSymbolsOffset + i] = values[i];
    kept[i] = counts.of[values[i]];
  }
  if (escape) {
    params[kEscapeOffset] = 1;
    for (size_t i = own; i < used; ++i) kept[own] += counts.of[values[i]];
  }
  put_frequencies(kNarrow, normalise(kept), params);
  return params;
}

std::vector<uint8_t> wide_params(const Counts& counts) {
  std::vector<uint8_t> params = start_params(kWide);
  put_frequencies(kWide, normalise({counts.of, counts.of + 256}), params);
  return params;
}

// Which symbols share a bucket: again and again the symbol with the least left to place fills its own bucket, and the
// one with the most left gives it the rest.
void build_buckets(AnsTable& table) {
  uint32_t left[kAnsSymbols];
  bool open[kAnsSymbols];
  std::copy_n(table.frequency, kAnsSymbols, left);
  std::fill_n(open, kAnsSymbols, true);
  for (size_t round = 0; round < kAnsSymbols; ++round) {
    size_t least = kAnsSymbols, most = kAnsSymbols;
    for (size_t i = 0; i < kAnsSymbols; ++i) {
      if (!open[i]) continue;
      if (least == kAnsSymbols || left[i] < left[least]) least = i;
      if (most == kAnsSymbols || left[i] > left[most]) most = i;
    }
    open[least] = false;
    if (left[least] ==
        kAnsBucket) {  // fills it: then so do all that are left. Its last slot is as if aliased to itself
      table.divider[least] = kAnsBucket - 1;
      table.alias[least] = static_cast<uint8_t>(least);
      table.delta[least] = 0;
      continue;
    }
    const uint32_t own = left[least];
    left[most] -= kAnsBucket - own;
    table.divider[least] = static_cast<uint8_t>(own);
    table.alias[least] = static_cast<uint8_t>(most);
    table.delta[least] = static_cast<int16_t>(static_cast<int32_t>(left[most]) - static_cast<int32_t>(own));
  }
}

void build_slots(Bytes params, AnsTable& table) {
  uint32_t* slot = table.slots;
  for (uint32_t symbol = 0; symbol < 256; ++symbol) {
    const uint32_t f = load<uint16_t>(&params[frequencies_offset(kWide) + 2 * symbol]);
    for (uint32_t offset = 0; offset < f; ++offset) *slot++ = symbol | f << 8 | offset << 20;
  }
}

}  // namespace

Counts count_codes(uint32_t dtype, Bytes src) {
  constexpr size_t kTables = 8;  // neighbours are often equal: counting them apart avoids waiting for each other
  std::vector<std::array<uint32_t, 256>> apart(kTables);
  const size_t element_bytes = dtype_bytes(dtype);
  const size_t n = src.size() / element_bytes;
  std::vector<uint8_t> raw(raw_arrays(dtype) * kChunk);
  alignas(64) uint8_t codes[kChunk];
  Counts counts;
  for (size_t begin = 0; begin < n; begin += kChunk) {
    const size_t count = std::min(kChunk, n - begin);
    split_kernels().split[dtype](&src[begin * element_bytes], count, kBias, codes, raw.data(), kChunk);
    size_t i = 0;
    for (; i + kTables <= count; i += kTables) {
      const uint64_t eight = load<uint64_t>(codes + i);
      for (size_t t = 0; t < kTables; ++t) ++apart[t][eight >> 8 * t & 255];
    }
    for (; i < count; ++i) ++counts.of[codes[i]];
    if (begin / kChunk % kChunksPerFlush != kChunksPerFlush - 1 && begin + kChunk < n) continue;
    for (auto& table : apart) {
      for (size_t code = 0; code < 256; ++code) counts.of[code] += std::exchange(table[code], 0);
    }
  }
  return counts;
}

std::vector<uint8_t> make_params(uint32_t dtype, const Counts& counts) {
  return table_kind(dtype) == kNarrow ? narrow_params(counts) : wide_params(counts);
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
  const uint8_t most = kind == kNarrow ? 1 : 0;
  if (params[kEscapeOffset] > most) fail("escape", kEscapeOffset, params[kEscapeOffset], std::to_string(most));
  for (size_t i = kReservedOffset; i < kSymbolsOffset; ++i) {
    if (params[i] != 0) fail("reserved", i, params[i], "0");
  }
  uint32_t sum = 0;
  for (size_t i = 0; i < table_symbols(kind); ++i) {
    const size_t offset = frequencies_offset(kind) + 2 * i;
    const uint32_t f = load<uint16_t>(&params[offset]);
    sum += f;
    const std::string name = "frequency[" + std::to_string(i) + "]";
    if (f > kMaxFrequency) fail(name, offset, f, "at most 4095");
    if (sum > kAnsSlots) fail(name, offset, f, "a sum of 4096");
  }
  if (sum != kAnsSlots) fail("frequency", frequencies_offset(kind), sum, "a sum of 4096");
}

void read_table(Bytes params, AnsTable& table) {
  table.narrow = params[kKindOffset] == kNarrow;
  table.has_escape = params[kEscapeOffset] != 0;
  if (!table.narrow) return build_slots(params, table);
  std::copy_n(&params[kSymbolsOffset], kAnsSymbols, table.symbols);
  for (size_t i = 0; i < kAnsSymbols; ++i) {
    table.frequency[i] = load<uint16_t>(&params[frequencies_offset(kNarrow) + 2 * i]);
  }
  build_buckets(table);
}

}  // namespace lpc::ans
