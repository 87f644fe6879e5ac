// Tables of a narrow segment: 15 code bytes and an escape, with 256 slots among them.
#pragma once

#include "codecs/ans/narrow_layout.h"
#include "codecs/codec.h"
#include "simd/ans/ans.h"

namespace lpc::ans::narrow {

struct Table {
  uint8_t symbols[AnsNarrow::kSymbols] = {};
  uint8_t frequency[AnsNarrow::kSymbols] = {};
};

// How often each code byte occurs.
struct Counts {
  uint32_t of[256];
};

// What choose_tables needs: of one block, and of one table.
struct Choice {
  Counts counts;
  uint16_t cost[256];  // of a code byte, in 1/1024 bits
};

// Tables for the blocks of `n` code bytes, into `tables`, and which one each block uses. Returns how many. `choices`
// has a member for each block.
size_t choose_tables(const uint8_t* codes, size_t n, Choice* choices, uint8_t* used, Table* tables);

// A table as it is stored. Throws LPC_FORMAT_ERROR; `offset` is that of the table, for the error.
void check_table(const uint8_t* stored, size_t index, size_t offset);

// Of a checked table.
void read_table(const uint8_t* stored, AnsNarrow& table);

}  // namespace lpc::ans::narrow
