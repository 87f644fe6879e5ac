#include "codecs/ans/narrow_tables.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codecs/ans/frequencies.h"

namespace lpc::ans::narrow {
namespace {

constexpr size_t kEscape = AnsNarrow::kEscapeSymbol;
constexpr unsigned kFraction = 10;  // bits after the point of a cost
constexpr uint16_t kNever = 65535;  // cost of what a table cannot code, before it is made anew for all its blocks

// log2(256 / f), exact arithmetic: every machine and compiler chooses the same tables.
constexpr uint16_t cost_of(uint32_t f) {
  uint64_t y = f;  // in [1, 2) with 31 bits after the point
  uint32_t whole = 0;
  while (y >> (whole + 1) != 0) ++whole;
  y <<= 31 - whole;
  uint32_t log2 = whole;
  for (unsigned bit = 0; bit < kFraction; ++bit) {
    y = y * y >> 31;
    const uint32_t full = static_cast<uint32_t>(y >> 32);
    y >>= full;
    log2 = log2 << 1 | full;
  }
  return static_cast<uint16_t>((8u << kFraction) - log2);
}
constexpr std::array<uint16_t, 256> make_costs() {
  std::array<uint16_t, 256> costs{};
  costs[0] = kNever - (8u << kFraction);
  for (uint32_t f = 1; f < 256; ++f) costs[f] = cost_of(f);
  return costs;
}
constexpr std::array<uint16_t, 256> kCosts = make_costs();

void count(const uint8_t* codes, size_t n, Counts& counts) {
  constexpr size_t kTables = 8;  // neighbours are often equal: counting them apart avoids waiting for each other
  uint32_t apart[kTables][256] = {};
  size_t i = 0;
  for (; i + kTables <= n; i += kTables) {
    const uint64_t eight = load<uint64_t>(codes + i);
    for (size_t t = 0; t < kTables; ++t) ++apart[t][eight >> 8 * t & 255];
  }
  for (; i < n; ++i) ++apart[0][codes[i]];
  for (size_t code = 0; code < 256; ++code) {
    counts.of[code] = 0;
    for (const auto& table : apart) counts.of[code] += table[code];
  }
}

// The most frequent code bytes. One slot of its own costs all others log2(256/255) bits, and saves at least 8 bits
// each time that the code byte need not escape.
Table make_table(const Counts& counts) {
  uint64_t total = 0;
  uint8_t values[256];
  size_t used = 0;
  for (size_t code = 0; code < 256; ++code) {
    total += counts.of[code];
    if (counts.of[code] != 0) values[used++] = static_cast<uint8_t>(code);
  }
  std::stable_sort(values, values + used, [&](uint8_t a, uint8_t b) { return counts.of[a] > counts.of[b]; });
  Table table;
  uint64_t kept[AnsNarrow::kSymbols] = {};
  kept[kEscape] = total;
  for (size_t i = 0; i < std::min(used, kEscape) && counts.of[values[i]] * uint64_t{1416} > total; ++i) {
    table.symbols[i] = values[i];
    kept[i] = counts.of[values[i]];
    kept[kEscape] -= kept[i];
  }
  uint32_t frequency[AnsNarrow::kSymbols];
  normalise(kept, AnsNarrow::kSymbols, AnsNarrow::kSlots, frequency);
  std::copy_n(frequency, AnsNarrow::kSymbols, table.frequency);
  return table;
}

void set_costs(const Table& table, uint16_t* cost) {
  std::fill_n(cost, 256, static_cast<uint16_t>(kCosts[table.frequency[kEscape]] + (8u << kFraction)));
  for (size_t i = kEscape; i-- > 0;) {
    if (table.frequency[i] != 0) cost[table.symbols[i]] = kCosts[table.frequency[i]];
  }
}

uint64_t total_cost(const Counts& counts, const uint16_t* cost) {
  uint64_t total = 0;
  for (size_t code = 0; code < 256; ++code) total += uint64_t{counts.of[code]} * cost[code];
  return total;
}

// Which symbols share a bucket: again and again the symbol with the least left to place fills its own bucket, and the
// one with the most left gives it the rest.
void build_buckets(AnsNarrow& table) {
  uint32_t left[AnsNarrow::kSymbols];
  bool open[AnsNarrow::kSymbols];
  std::copy_n(table.frequency, AnsNarrow::kSymbols, left);
  std::fill_n(open, AnsNarrow::kSymbols, true);
  for (size_t round = 0; round < AnsNarrow::kSymbols; ++round) {
    size_t least = AnsNarrow::kSymbols, most = AnsNarrow::kSymbols;
    for (size_t i = 0; i < AnsNarrow::kSymbols; ++i) {
      if (!open[i]) continue;
      if (least == AnsNarrow::kSymbols || left[i] < left[least]) least = i;
      if (most == AnsNarrow::kSymbols || left[i] > left[most]) most = i;
    }
    open[least] = false;
    const uint32_t own = left[least];
    table.divider[least] = static_cast<uint8_t>(own);
    table.alias[least] = static_cast<uint8_t>(most);
    if (own == AnsNarrow::kBucket) continue;  // then so do all that are left
    left[most] -= AnsNarrow::kBucket - own;
    table.delta[least] = static_cast<uint8_t>(left[most] - own);
  }
}

}  // namespace

// A block takes the best table so far, unless one of its own saves more than that takes. Then the tables are made anew,
// for all blocks that use them.
size_t choose_tables(const uint8_t* codes, size_t n, Choice* choices, uint8_t* used, Table* tables) {
  constexpr uint64_t kTableCost = 8 * kTableBytes << kFraction;
  size_t count_of_tables = 0;
  const size_t blocks = ceil_div(n, kBlock);
  for (size_t b = 0; b < blocks; ++b) {
    const Counts& counts = choices[b].counts;
    count(codes + b * kBlock, std::min(kBlock, n - b * kBlock), choices[b].counts);
    uint64_t least = UINT64_MAX;
    for (size_t t = 0; t < count_of_tables; ++t) {
      const uint64_t cost = total_cost(counts, choices[t].cost);
      if (cost >= least) continue;
      least = cost;
      used[b] = static_cast<uint8_t>(t);
    }
    if (count_of_tables == kMaxTables) continue;
    uint16_t* const own = choices[count_of_tables].cost;  // no block is before its table
    set_costs(make_table(counts), own);
    if (least != UINT64_MAX && least <= total_cost(counts, own) + kTableCost) continue;
    used[b] = static_cast<uint8_t>(count_of_tables++);
  }
  for (size_t t = 0; t < count_of_tables; ++t) {
    Counts sum{};
    for (size_t b = 0; b < blocks; ++b) {
      if (used[b] != t) continue;
      for (size_t code = 0; code < 256; ++code) sum.of[code] += choices[b].counts.of[code];
    }
    tables[t] = make_table(sum);
  }
  return count_of_tables;
}

void check_table(const uint8_t* stored, size_t index, size_t offset) {
  const auto fail = [&](const char* name, size_t at, uint64_t got, const char* expected) {
    throw_field(LPC_FORMAT_ERROR, "table[" + std::to_string(index) + "]." + name, offset + at, std::to_string(got),
                expected);
  };
  if (stored[kTableReservedOffset] != 0) fail("reserved", kTableReservedOffset, stored[kTableReservedOffset], "0");
  uint32_t sum = 0;
  for (size_t i = 0; i < AnsNarrow::kSymbols; ++i) sum += stored[kFrequencyOffset + i];
  if (sum != AnsNarrow::kSlots) fail("frequency", kFrequencyOffset, sum, "a sum of 256");
}

void read_table(const uint8_t* stored, AnsNarrow& table) {
  std::copy_n(stored, kEscape, table.symbols);
  std::copy_n(stored + kFrequencyOffset, AnsNarrow::kSymbols, table.frequency);
  uint8_t escape = 0;
  while (std::find(table.symbols, table.symbols + kEscape, escape) != table.symbols + kEscape) ++escape;
  table.symbols[kEscape] = escape;
  build_buckets(table);
}

}  // namespace lpc::ans::narrow
