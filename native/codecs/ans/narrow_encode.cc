// Symbols are coded from the last to the first, so that the decoder meets them in order; bytes and escapes fill their
// buffers from the end.
#include <algorithm>

#include "codecs/ans/narrow.h"
#include "codecs/ans/narrow_tables.h"
#include "codecs/ans/params.h"
#include "simd/ans/ans_narrow-inl.h"

namespace lpc::ans::narrow {
namespace {

void make_encoder(const Table& from, AnsNarrowEncoder& to) {
  constexpr size_t kEscape = AnsNarrow::kEscapeSymbol;
  uint8_t stored[kTableBytes];
  std::memcpy(stored, from.symbols, sizeof from.symbols);
  std::memcpy(stored + kFrequencyOffset, from.frequency, sizeof from.frequency);
  AnsNarrow table;
  read_table(stored, table);
  AnsNarrowEncoder::Symbol symbols[AnsNarrow::kSymbols];
  uint32_t slots = 0;
  for (size_t i = 0; i < AnsNarrow::kSymbols; ++i) {
    const uint32_t f = table.frequency[i];
    symbols[i] = {f == 0 ? 0 : ((1u << 24) + f - 1) / f, static_cast<uint16_t>(f), static_cast<uint16_t>(slots)};
    to.frequency[i] = static_cast<uint8_t>(f);
    to.first[i] = static_cast<uint8_t>(slots);
    slots += f;
  }
  for (uint32_t slot = 0; slot < AnsNarrow::kSlots; ++slot) {
    const AnsNarrowStep step = ans_look_up(table, slot);
    to.slots[symbols[step.symbol].first + step.offset] = static_cast<uint8_t>(slot);
  }
  std::fill_n(to.of_code, 256, symbols[kEscape]);
  std::fill_n(to.symbol, 256, static_cast<uint8_t>(kEscape));
  for (size_t i = kEscape; i-- > 0;) {
    if (symbols[i].frequency == 0) continue;
    to.of_code[table.symbols[i]] = symbols[i];
    to.symbol[table.symbols[i]] = static_cast<uint8_t>(i);
  }
}

// Parts of the scratch memory.
struct Scratch {
  Scratch(size_t n, size_t blocks, MutableBytes memory)
      : choices(reinterpret_cast<Choice*>(memory.data() + (-reinterpret_cast<uintptr_t>(memory.data()) & 63))),
        tables(reinterpret_cast<Table*>(choices + blocks)),
        used(reinterpret_cast<uint8_t*>(tables + std::min(blocks, kMaxTables))),
        codes(used + blocks),
        escapes_end(codes + n + 1 + n),
        bytes_end(escapes_end + kAnsSpare + n) {}

  static size_t bytes(size_t n, size_t blocks) {
    return 63 + blocks * (sizeof(Choice) + 1) + std::min(blocks, kMaxTables) * sizeof(Table) + 3 * n + 1 + kAnsSpare;
  }

  Choice* choices;
  Table* tables;
  uint8_t* used;
  uint8_t* codes;
  uint8_t* escapes_end;
  uint8_t* bytes_end;
};

// Code bytes into `codes`, raw bytes and planes to their places in the segment.
void split(uint32_t dtype, const Layout& layout, Bytes src, const Scratch& scratch, uint8_t* segment) {
  const SplitKernels& kernels = split_kernels();
  kernels.split[dtype](src.data(), layout.elements, kBias, scratch.codes, segment + kRawOffset, layout.elements);
  const size_t count = plane_count(dtype);
  if (count == 0) return;
  uint8_t* planes[kPlanes];
  for (size_t p = 0; p < kPlanes; ++p) {  // the coded bits' planes are not needed
    planes[p] = p < count ? segment + layout.planes_offset + p * layout.plane_bytes : scratch.codes + layout.elements;
  }
  kernels.to_planes(scratch.codes, layout.elements, planes);
  const auto coded = static_cast<uint8_t>(0xFF << count);
  for (size_t i = 0; i < layout.elements; ++i) scratch.codes[i] &= coded;
}

}  // namespace

size_t encode_scratch_bytes(const SegmentShape& shape) {
  const Layout layout(shape);
  return Scratch::bytes(layout.elements, layout.blocks);
}

size_t encode(const SegmentShape& shape, Bytes src, MutableBytes dst, MutableBytes memory) {
  const Layout layout(shape);
  if (dst.size() < min_stored_bytes(shape)) return 0;
  const Scratch scratch(layout.elements, layout.blocks, memory);
  split(shape.dtype, layout, src, scratch, dst.data());
  const size_t tables = choose_tables(scratch.codes, layout.elements, scratch.choices, scratch.used, scratch.tables);
  AnsNarrowWriter writer;
  writer.bytes = scratch.bytes_end;
  writer.escapes = scratch.escapes_end;
  std::fill_n(writer.states, AnsNarrow::kStates, AnsNarrow::kLowest);
  AnsNarrowEncoder table;
  for (size_t b = layout.blocks; b-- > 0;) {
    if (b + 1 == layout.blocks || scratch.used[b] != scratch.used[b + 1]) {
      make_encoder(scratch.tables[scratch.used[b]], table);
    }
    ans_kernels().encode_narrow(table, scratch.codes + b * kBlock, std::min(kBlock, layout.elements - b * kBlock),
                                writer);
  }
  const auto byte_count = static_cast<size_t>(scratch.bytes_end - writer.bytes);
  const auto escape_count = static_cast<size_t>(scratch.escapes_end - writer.escapes);
  const size_t size = layout.bytes_offset(tables) + byte_count + escape_count + kAnsPadding;
  if (size > dst.size()) return 0;
  std::memset(dst.data(), 0, kStatesOffset);
  store(&dst[kByteCountOffset], static_cast<uint32_t>(byte_count));
  store(&dst[kEscapeCountOffset], static_cast<uint32_t>(escape_count));
  store(&dst[kTableCountOffset], static_cast<uint16_t>(tables));
  std::memcpy(&dst[kStatesOffset], writer.states, sizeof writer.states);
  uint8_t* to = std::copy_n(scratch.used, layout.blocks, dst.data() + layout.blocks_offset);
  for (size_t t = 0; t < tables; ++t) {
    to = std::copy_n(scratch.tables[t].symbols, AnsNarrow::kSymbols, to);
    to = std::copy_n(scratch.tables[t].frequency, AnsNarrow::kSymbols, to);
  }
  to = std::copy_n(writer.bytes, byte_count, to);
  to = std::copy_n(writer.escapes, escape_count, to);
  std::memset(to, 0, kAnsPadding);
  return size;
}

}  // namespace lpc::ans::narrow
