#include <algorithm>

#include "codecs/ans/narrow.h"
#include "codecs/ans/narrow_tables.h"
#include "codecs/ans/params.h"

namespace lpc::ans::narrow {
namespace {

// Elements whose code bytes are held at a time: so few that memory is read and written while states are waited for.
constexpr size_t kChunk = 512;

[[noreturn]] void fail(const std::string& name, size_t offset, uint64_t got, const std::string& expected) {
  throw_field(LPC_FORMAT_ERROR, name, offset, std::to_string(got), expected);
}

// Checks the sizes of a segment's parts, and its tables. Returns where the bytes begin.
size_t check_head(const Layout& layout, Bytes stored) {
  const size_t least = layout.bytes_offset(1) + kAnsPadding;
  if (stored.size() < least) fail("segment size", 0, stored.size(), "at least " + std::to_string(least));
  const size_t tables = load<uint16_t>(&stored[kTableCountOffset]);
  const size_t room = (stored.size() - kAnsPadding - layout.tables_offset) / kTableBytes;
  if (tables == 0 || tables > std::min(room, kMaxTables)) {
    fail("table_count", kTableCountOffset, tables, "1 to " + std::to_string(std::min(room, kMaxTables)));
  }
  for (size_t i = kReservedOffset; i < kStatesOffset; ++i) {
    if (stored[i] != 0) fail("reserved", i, stored[i], "0");
  }
  for (size_t b = 0; b < layout.blocks; ++b) {
    const size_t at = layout.blocks_offset + b;
    if (stored[at] < tables) continue;
    fail("block[" + std::to_string(b) + "]", at, stored[at], "less than table_count, " + std::to_string(tables));
  }
  for (size_t t = 0; t < tables; ++t) check_table(&stored[layout.bytes_offset(t)], t, layout.bytes_offset(t));
  return layout.bytes_offset(tables);
}

AnsNarrowStream open_stream(size_t bytes_offset, Bytes stored) {
  const uint64_t bytes = load<uint32_t>(&stored[kByteCountOffset]);
  const uint64_t escapes = load<uint32_t>(&stored[kEscapeCountOffset]);
  const uint64_t left = stored.size() - bytes_offset - kAnsPadding;
  if (bytes > left) fail("byte_count", kByteCountOffset, bytes, "at most " + std::to_string(left));
  if (escapes != left - bytes) {
    fail("escape_count", kEscapeCountOffset, escapes, std::to_string(left - bytes) + ", to the segment's end");
  }
  AnsNarrowStream stream;
  std::memcpy(stream.states, &stored[kStatesOffset], sizeof stream.states);
  for (size_t s = 0; s < AnsNarrow::kStates; ++s) {
    if (stream.states[s] >= AnsNarrow::kLowest) continue;
    fail("state[" + std::to_string(s) + "]", kStatesOffset + 2 * s, stream.states[s], "at least 256");
  }
  stream.bytes = stored.data() + bytes_offset;
  stream.bytes_end = stream.bytes + bytes;
  stream.escapes = stream.bytes_end;
  stream.escapes_end = stream.escapes + escapes;
  return stream;
}

void check_end(size_t bytes_offset, const AnsNarrowStream& stream) {
  const auto require_none = [&](ptrdiff_t left, const char* what) {
    if (left != 0) throw_field(LPC_FORMAT_ERROR, what, bytes_offset, std::to_string(left) + " bytes left", "none");
  };
  require_none(stream.bytes_end - stream.bytes, "bytes");
  require_none(stream.escapes_end - stream.escapes, "escapes");
  for (size_t s = 0; s < AnsNarrow::kStates; ++s) {
    if (stream.states[s] == AnsNarrow::kLowest) continue;
    throw_field(LPC_FORMAT_ERROR, "state[" + std::to_string(s) + "]", kStatesOffset + 2 * s,
                std::to_string(stream.states[s]) + " after the last element", "256");
  }
}

// Begins to fetch memory that will be written.
void prefetch(MutableBytes memory) {
  constexpr size_t kLine = 64;
  for (size_t i = 0; i < memory.size(); i += kLine) __builtin_prefetch(&memory[i], 1);
}

// The n elements from `begin` on, of which the code bytes are known.
void join(uint32_t dtype, const Layout& layout, Bytes stored, size_t begin, size_t n, const uint8_t* codes,
          uint8_t* elements) {
  const SplitKernels& kernels = split_kernels();
  const uint8_t* const raw = stored.data() + kRawOffset + begin;
  if (plane_count(dtype) == 0) {
    kernels.join[dtype](codes, raw, layout.elements, n, kBias, elements);
    return;
  }
  const uint8_t* planes[kFp16Planes];
  for (size_t p = 0; p < kFp16Planes; ++p) {
    planes[p] = stored.data() + layout.planes_offset + p * layout.plane_bytes + begin / 8;
  }
  kernels.join_fp16_planes(codes, planes, raw, n, kBias, elements);
}

}  // namespace

size_t min_stored_bytes(const SegmentShape& shape) { return Layout(shape).bytes_offset(1) + kAnsPadding; }

void decode(const SegmentShape& shape, Bytes stored, MutableBytes out) {
  const Layout layout(shape);
  const size_t bytes_offset = check_head(layout, stored);
  AnsNarrowStream stream = open_stream(bytes_offset, stored);
  const auto decode_codes = ans_kernels().decode_narrow;
  const size_t element_bytes = dtype_bytes(shape.dtype);
  size_t current = kMaxTables;
  AnsNarrow table;
  alignas(64) uint8_t codes[kChunk];
  for (size_t begin = 0; begin < layout.elements; begin += kChunk) {
    const size_t n = std::min(kChunk, layout.elements - begin);
    const size_t used = stored[layout.blocks_offset + begin / kBlock];
    if (used != current) read_table(&stored[layout.bytes_offset(used)], table);
    current = used;
    prefetch(out.subspan(begin * element_bytes, n * element_bytes));
    if (!decode_codes(table, stream, n, codes)) {
      throw_field(LPC_FORMAT_ERROR, "bytes", bytes_offset,
                  "the end of the bytes or escapes at element " + std::to_string(begin),
                  "enough for " + std::to_string(layout.elements));
    }
    join(shape.dtype, layout, stored, begin, n, codes, out.data() + begin * element_bytes);
  }
  check_end(bytes_offset, stream);
}

}  // namespace lpc::ans::narrow
