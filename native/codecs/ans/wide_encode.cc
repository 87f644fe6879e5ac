// Symbols are coded from the last to the first, so that the decoder meets them in order; words fill a buffer from its
// end.
#include <algorithm>

#include "codecs/ans/params.h"
#include "codecs/ans/wide.h"
#include "codecs/ans/wide_layout.h"
#include "codecs/layout.h"
#include "simd/split/split.h"

namespace lpc::ans::wide {
namespace {

constexpr unsigned kReciprocalBits = 44;

// By code byte. x / frequency is (x * reciprocal) >> 44, exactly for every x < frequency << 20, and fits 64 bits there.
struct Symbol {
  uint64_t reciprocal = 0;
  uint32_t frequency = 0;
  uint32_t first = 0;  // of its slots
};

struct EncodeTable {
  explicit EncodeTable(Bytes params) {
    uint32_t slots = 0;
    for (size_t i = 0; i < AnsWide::kSymbols; ++i) {
      const uint32_t f = load<uint16_t>(&params[kFrequenciesOffset + 2 * i]);
      symbols[i] = {f == 0 ? 0 : ((uint64_t{1} << kReciprocalBits) + f - 1) / f, f, slots};
      slots += f;
    }
  }

  Symbol symbols[AnsWide::kSymbols];
};

// Codes one symbol on `state`; `words` moves down if the state gives a word away.
inline uint32_t put(const EncodeTable& table, uint8_t code, uint32_t state, uint8_t*& words) {
  const Symbol& symbol = table.symbols[code];
  const uint32_t full = state >= symbol.frequency << 20;  // no branch on it: it is as good as random
  const auto word = static_cast<uint16_t>(state);
  std::memcpy(words - 2, &word, 2);  // kept only if full
  words -= 2 * full;
  state >>= 16 * full;
  const auto quotient = static_cast<uint32_t>(state * symbol.reciprocal >> kReciprocalBits);
  return (quotient << AnsWide::kPrecision) + symbol.first + (state - quotient * symbol.frequency);
}

// Codes all n bytes; returns where the words begin, which end at `words`.
uint8_t* put_all(const EncodeTable& table, const uint8_t* codes, size_t n, uint32_t* states, uint8_t* words) {
  std::fill_n(states, AnsWide::kStates, AnsWide::kLowest);
  const size_t whole = n / AnsWide::kStates * AnsWide::kStates;
  for (size_t s = AnsWide::kStates; s-- > 0;) {
    const size_t position = whole + AnsWide::position(s);
    if (position < n) states[s] = put(table, codes[position], states[s], words);
  }
  for (const uint8_t* group = codes + whole; group != codes;) {
    group -= AnsWide::kStates;
#pragma GCC unroll 64
    for (size_t s = AnsWide::kStates; s-- > 0;) {
      states[s] = put(table, group[AnsWide::position(s)], states[s], words);
    }
  }
  return words;
}

}  // namespace

// Code bytes, and words with one to spare.
size_t encode_scratch_bytes(const SegmentShape& shape) { return 3 * shape.elements() + 2; }

size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch) {
  if (dst.size() < min_stored_bytes(shape)) return 0;
  const EncodeTable table(params);
  const size_t n = shape.elements();
  uint8_t* const codes = scratch.data();
  uint8_t* const words_end = scratch.data() + scratch.size();
  split_kernels().split[shape.dtype](src.data(), n, kBias, codes, nullptr, 0);
  uint32_t states[AnsWide::kStates];
  uint8_t* const words = put_all(table, codes, n, states, words_end);
  const auto word_bytes = static_cast<size_t>(words_end - words);
  const size_t size = kWordsOffset + word_bytes + kAnsPadding;
  if (size > dst.size()) return 0;
  std::memset(dst.data(), 0, kStatesOffset);
  store(&dst[kWordCountOffset], static_cast<uint32_t>(word_bytes / 2));
  std::memcpy(&dst[kStatesOffset], states, sizeof states);
  std::memset(std::copy_n(words, word_bytes, dst.data() + kWordsOffset), 0, kAnsPadding);
  return size;
}

}  // namespace lpc::ans::wide
