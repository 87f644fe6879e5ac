#include <algorithm>

#include "codecs/ans/params.h"
#include "codecs/ans/wide.h"
#include "codecs/ans/wide_layout.h"
#include "codecs/layout.h"
#include "simd/split/split.h"

namespace lpc::ans::wide {
namespace {

constexpr size_t kChunk = 4096;  // elements whose code bytes are held at a time

// Checks the sizes of a segment's parts and its initial states.
AnsWideStream open_stream(Bytes stored) {
  const auto fail = [](const std::string& name, size_t offset, uint64_t got, const std::string& expected) {
    throw_field(LPC_FORMAT_ERROR, name, offset, std::to_string(got), expected);
  };
  if (stored.size() < kWordsOffset + kAnsPadding) {
    fail("segment size", 0, stored.size(), "at least " + std::to_string(kWordsOffset + kAnsPadding));
  }
  const uint64_t words = load<uint32_t>(&stored[kWordCountOffset]);
  const uint64_t left = stored.size() - kWordsOffset - kAnsPadding;
  if (2 * words != left) {
    fail("word_count", kWordCountOffset, words, "half of " + std::to_string(left) + ", to the segment's end");
  }
  for (size_t i = kReservedOffset; i < kStatesOffset; ++i) {
    if (stored[i] != 0) fail("reserved", i, stored[i], "0");
  }
  AnsWideStream stream;
  std::memcpy(stream.states, &stored[kStatesOffset], sizeof stream.states);
  for (size_t s = 0; s < AnsWide::kStates; ++s) {
    if (stream.states[s] >= AnsWide::kLowest) continue;
    fail("state[" + std::to_string(s) + "]", kStatesOffset + 4 * s, stream.states[s], "at least 65536");
  }
  stream.words = stored.data() + kWordsOffset;
  stream.words_end = stream.words + 2 * words;
  return stream;
}

void check_end(const AnsWideStream& stream) {
  if (stream.words != stream.words_end) {
    throw_field(LPC_FORMAT_ERROR, "words", kWordsOffset,
                std::to_string(stream.words_end - stream.words) + " bytes left", "none");
  }
  for (size_t s = 0; s < AnsWide::kStates; ++s) {
    if (stream.states[s] == AnsWide::kLowest) continue;
    throw_field(LPC_FORMAT_ERROR, "state[" + std::to_string(s) + "]", kStatesOffset + 4 * s,
                std::to_string(stream.states[s]) + " after the last element", "65536");
  }
}

}  // namespace

// No symbol has all slots, so each costs something: states and words grow by more than 16 / 49152 bits an element.
size_t min_stored_bytes(const SegmentShape& shape) {
  const size_t words = shape.elements() / 49152;
  return kWordsOffset + kAnsPadding + 2 * (words - std::min(words, AnsWide::kStates));
}

void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out) {
  AnsWideStream stream = open_stream(stored);
  AnsWide table;
  read_table(params, table);
  const auto join = split_kernels().join[shape.dtype];
  alignas(64) uint8_t codes[kChunk];
  for (size_t begin = 0; begin < shape.elements(); begin += kChunk) {
    const size_t n = std::min<size_t>(kChunk, shape.elements() - begin);
    if (!ans_kernels().decode_wide(table, stream, n, codes)) {
      throw_field(LPC_FORMAT_ERROR, "words", kWordsOffset, "the end of the words at element " + std::to_string(begin),
                  "enough for " + std::to_string(shape.elements()));
    }
    join(codes, nullptr, 0, n, kBias, out.data() + begin);
  }
  check_end(stream);
}

}  // namespace lpc::ans::wide
