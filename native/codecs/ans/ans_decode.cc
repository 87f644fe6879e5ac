#include "codecs/ans/ans_decode.h"

#include <algorithm>

#include "codecs/ans/params.h"
#include "codecs/ans/segment_layout.h"

namespace lpc::ans {
namespace {

// Checks the sizes of a segment's parts and its initial states.
AnsStream open_segment(const Layout& layout, bool escapes_allowed, Bytes stored) {
  const auto fail = [](const std::string& name, size_t offset, uint64_t got, const std::string& expected) {
    throw_field(LPC_FORMAT_ERROR, name, offset, std::to_string(got), expected);
  };
  if (stored.size() < layout.words_offset + kAnsPadding) {
    fail("segment size", 0, stored.size(), "at least " + std::to_string(layout.words_offset + kAnsPadding));
  }
  const uint64_t words = load<uint32_t>(&stored[kWordCountOffset]);
  const uint64_t escapes = load<uint32_t>(&stored[kEscapeCountOffset]);
  const uint64_t left = stored.size() - layout.words_offset - kAnsPadding;
  if (2 * words > left) fail("word_count", kWordCountOffset, words, "at most " + std::to_string(left / 2));
  if (escapes != 0 && !escapes_allowed) fail("escape_count", kEscapeCountOffset, escapes, "0: the table has no escape");
  if (escapes != left - 2 * words) {
    fail("escape_count", kEscapeCountOffset, escapes, std::to_string(left - 2 * words) + ", to the segment's end");
  }
  for (size_t i = kSegmentReservedOffset; i < kStatesOffset; ++i) {
    if (stored[i] != 0) fail("reserved", i, stored[i], "0");
  }
  AnsStream stream;
  std::memcpy(stream.states, &stored[kStatesOffset], sizeof stream.states);
  for (size_t s = 0; s < kAnsStates; ++s) {
    if (stream.states[s] >= kAnsLowest) continue;
    fail("state[" + std::to_string(s) + "]", kStatesOffset + 4 * s, stream.states[s], "at least 65536");
  }
  stream.words = stored.data() + layout.words_offset;
  stream.words_end = stream.words + 2 * words;
  stream.escapes = stream.words_end;
  stream.escapes_end = stream.escapes + escapes;
  return stream;
}

[[noreturn]] void throw_ran_out(const Layout& layout, size_t element) {
  throw_field(LPC_FORMAT_ERROR, "words", layout.words_offset,
              "the end of the words or escapes at element " + std::to_string(element),
              "enough for " + std::to_string(layout.elements));
}

void check_end(const Layout& layout, const AnsStream& stream) {
  const auto fail = [&](size_t left, const char* what) {
    throw_field(LPC_FORMAT_ERROR, what, layout.words_offset, std::to_string(left) + " bytes left", "none");
  };
  if (stream.words != stream.words_end) fail(static_cast<size_t>(stream.words_end - stream.words), "words");
  if (stream.escapes != stream.escapes_end) fail(static_cast<size_t>(stream.escapes_end - stream.escapes), "escapes");
  for (size_t s = 0; s < kAnsStates; ++s) {
    if (stream.states[s] == kAnsLowest) continue;
    throw_field(LPC_FORMAT_ERROR, "state[" + std::to_string(s) + "]", kStatesOffset + 4 * s,
                std::to_string(stream.states[s]) + " after the last element", "65536");
  }
}

}  // namespace

size_t min_stored_bytes(const SegmentShape& shape) {
  const Layout layout(shape);
  const size_t least = layout.words_offset + kAnsPadding;
  if (table_kind(shape.dtype) == kNarrow) return least;
  // No symbol has all slots, so each costs something: states and words grow by more than 16 / 49152 bits an element.
  const size_t words = layout.elements / 49152;
  return least + 2 * (words - std::min(words, kAnsStates));
}

void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out) {
  const Layout layout(shape);
  AnsTable table;
  read_table(params, table);
  AnsStream stream = open_segment(layout, table.has_escape, stored);
  const AnsKernels& kernels = ans_kernels();
  const auto join = split_kernels().join[shape.dtype];
  const size_t element_bytes = dtype_bytes(shape.dtype);
  alignas(64) uint8_t codes[kChunk];
  for (size_t begin = 0; begin < layout.elements; begin += kChunk) {
    const size_t n = std::min(kChunk, layout.elements - begin);
    if (!kernels.decode(table, stream, n, codes)) throw_ran_out(layout, begin);
    join(codes, stored.data() + kRawOffset + begin, layout.elements, n, kBias, out.data() + begin * element_bytes);
  }
  check_end(layout, stream);
}

}  // namespace lpc::ans
