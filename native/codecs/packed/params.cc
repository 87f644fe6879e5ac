#include "codecs/packed/params.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "codecs/layout.h"
#include "simd/isa.h"

namespace lpc::packed {
namespace {

using Counts = std::array<uint64_t, 256>;

// How often each exponent and each high byte occurs.
struct Histogram {
  Counts exponents{};
  Counts high_bytes{};
  uint64_t elements = 0;
};

// Of large tensors a part is counted, in runs that lie evenly over it: what the tables miss escapes. A prime number of
// elements, so that the runs begin at ever other columns.
constexpr size_t kRunElements = 2039;
constexpr size_t kCountedElements = size_t{2} << 20;

Histogram count(Bytes src) {
  constexpr size_t kTables = 4;  // neighbours are often equal: counting them apart avoids waiting for each other
  std::vector<std::array<uint64_t, 512>> counts(kTables);
  const size_t elements = src.size() / 2;
  const size_t step = kRunElements * std::max<size_t>(1, elements / kCountedElements);
  Histogram histogram;
  for (size_t begin = 0; begin < elements; begin += step) {
    const size_t end = std::min(elements, begin + kRunElements);
    for (size_t i = begin; i < end; ++i) ++counts[i % kTables][load<uint16_t>(&src[2 * i]) >> 7];
    histogram.elements += end - begin;
  }
  for (size_t value = 0; value < 512; ++value) {
    uint64_t total = 0;
    for (const auto& table : counts) total += table[value];
    histogram.exponents[value & 255] += total;
    histogram.high_bytes[value >> 1] += total;
  }
  return histogram;
}

// Values from the most frequent to the rarest; equal ones in ascending order.
std::array<uint8_t, 256> by_frequency(const Counts& counts) {
  std::array<uint8_t, 256> values;
  std::iota(values.begin(), values.end(), uint8_t{0});
  std::stable_sort(values.begin(), values.end(), [&](uint8_t a, uint8_t b) { return counts[a] > counts[b]; });
  return values;
}

// Bits of all elements, without what rows and segments add.
uint64_t bits_with(PackedLayout layout, const Histogram& histogram) {
  Counts sorted = packed_codes_high_bytes(layout) ? histogram.high_bytes : histogram.exponents;
  std::sort(sorted.rbegin(), sorted.rend());
  const auto beyond = [&](size_t values) {
    return std::accumulate(sorted.begin() + values, sorted.end(), uint64_t{0});
  };
  const uint64_t escapes = beyond(level1_values(layout));
  switch (layout) {
    case PackedLayout::kE2p3: return 10 * histogram.elements + 3 * escapes + 8 * beyond(10);
    case PackedLayout::kE3p3: return 11 * histogram.elements + 3 * escapes + 8 * beyond(14);
    case PackedLayout::kHi3: return 11 * histogram.elements + 8 * escapes;
    case PackedLayout::kHi4p: return 12 * histogram.elements + 32 * escapes;
  }
  return 0;
}

}  // namespace

std::vector<uint8_t> choose_params(Bytes src, size_t columns, const PackedLayout* layout) {
  const Histogram histogram = count(src);
  PackedLayout chosen = PackedLayout::kE2p3;
  for (PackedLayout other : {PackedLayout::kE3p3, PackedLayout::kHi4p}) {
    if (bits_with(other, histogram) < bits_with(chosen, histogram)) chosen = other;
  }
  if (layout != nullptr) chosen = *layout;
  const auto values = by_frequency(packed_codes_high_bytes(chosen) ? histogram.high_bytes : histogram.exponents);
  std::vector<uint8_t> params(kParamsBytes, 0);
  params[0] = static_cast<uint8_t>(chosen);
  params[kOrderOffset] = packed_codes_high_bytes(chosen) && columns > kMostWholeColumns;
  const auto level2 = values.begin() + level1_values(chosen);
  std::copy(values.begin(), level2, params.begin() + kLevel1Offset);
  std::copy(level2, level2 + level2_values(chosen), params.begin() + kLevel2Offset);
  return params;
}

PackedLayout fastest_layout() { return active_isa() == Isa::kAvx512Vbmi2 ? PackedLayout::kHi3 : PackedLayout::kHi4p; }

void check_params(Bytes params) {
  if (params.size() != kParamsBytes) {
    throw_malformed(field::kCodecParamsBytes, params.size(),
                    std::to_string(kParamsBytes) + " for bf16 in codec packed");
  }
  if (params[0] < 1 || params[0] > 5 || params[0] == 2) {
    throw_field(LPC_FORMAT_ERROR, "codec_params.layout", 0, std::to_string(params[0]), "1, 3, 4 or 5");
  }
  const auto layout = static_cast<PackedLayout>(params[0]);
  const uint8_t most = packed_codes_high_bytes(layout) ? 1 : 0;
  if (params[kOrderOffset] > most) {
    throw_field(LPC_FORMAT_ERROR, "codec_params.order", kOrderOffset, std::to_string(params[kOrderOffset]),
                most == 1 ? "0 or 1" : "0 for this layout");
  }
  const auto check_zero = [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      if (params[i] != 0) throw_field(LPC_FORMAT_ERROR, "codec_params.reserved", i, std::to_string(params[i]), "0");
    }
  };
  check_zero(kOrderOffset + 1, kLevel1Offset);
  check_zero(kLevel1Offset + level1_values(layout), kLevel2Offset);
  check_zero(kLevel2Offset + level2_values(layout), kParamsBytes);
}

PackedTables read_tables(Bytes params) {
  PackedTables tables;
  tables.layout = static_cast<PackedLayout>(params[0]);
  tables.in_pieces = params[kOrderOffset] != 0;
  const auto read = [&](size_t offset, size_t values, uint8_t* level) {
    const auto begin = params.begin() + static_cast<ptrdiff_t>(offset);
    const auto end = begin + static_cast<ptrdiff_t>(values);
    uint8_t escape = 0;
    while (std::find(begin, end, escape) != end) ++escape;
    std::fill(level, level + 16, escape);
    std::copy(begin, end, level);
    return escape;
  };
  tables.escape1 = read(kLevel1Offset, level1_values(tables.layout), tables.level1);
  tables.escape2 = read(kLevel2Offset, level2_values(tables.layout), tables.level2);
  return tables;
}

}  // namespace lpc::packed
