#include "codecs/lz4/lz4_decode.h"

#include <lz4.h>

#include "codecs/lz4/segment_layout.h"

namespace lpc::lz4 {
namespace {

// The next block of each plane: where its stored size and its bytes are.
struct Cursors {
  size_t table[kPlanes];
  size_t bytes[kPlanes];
};

std::string block_name(size_t index) { return "block_size[" + std::to_string(index) + "]"; }

void check_fixed(const SegmentShape& shape, const Layout& layout, Bytes stored) {
  if (stored.size() < layout.blocks_offset) {
    throw_field(LPC_FORMAT_ERROR, "segment size", 0, std::to_string(stored.size()),
                "at least " + std::to_string(layout.blocks_offset) + " for this shape");
  }
  const unsigned limit = 1u << exponent_bits(shape.dtype);
  if (stored[0] >= limit) {
    throw_field(LPC_FORMAT_ERROR, "bias", 0, std::to_string(stored[0]), "less than " + std::to_string(limit));
  }
  for (size_t i = 1; i < 4; ++i) {
    if (stored[i] != 0) throw_field(LPC_FORMAT_ERROR, "reserved", i, std::to_string(stored[i]), "0");
  }
  const uint32_t block_count = load<uint32_t>(&stored[4]);
  if (block_count != layout.block_count) {
    throw_field(LPC_FORMAT_ERROR, "block_count", 4, std::to_string(block_count), std::to_string(layout.block_count));
  }
}

// Checks that the blocks fill the segment exactly and finds where each plane begins.
Cursors find_planes(const Layout& layout, Bytes stored) {
  Cursors cursors{};
  size_t index = 0;
  size_t position = layout.blocks_offset;
  for (size_t p = kPlanes; p-- > 0;) {
    cursors.table[p] = layout.table_offset + 4 * index;
    cursors.bytes[p] = position;
    for (size_t k = 0; k < layout.blocks_per_plane; ++k, ++index) {
      const size_t table_offset = layout.table_offset + 4 * index;
      const size_t size = load<uint32_t>(&stored[table_offset]);
      const size_t most = std::min(layout.block_bytes(k), stored.size() - position);
      if (size > most) {
        throw_field(LPC_FORMAT_ERROR, block_name(index), table_offset, std::to_string(size),
                    "at most " + std::to_string(most));
      }
      position += size;
    }
  }
  if (position != stored.size()) {
    throw_field(LPC_FORMAT_ERROR, "segment end", position, std::to_string(stored.size()) + " bytes",
                std::to_string(position) + ", the end of the last block");
  }
  return cursors;
}

// One block of a plane: null if all zero, a place in `stored` if raw, else decompressed into `to`.
const uint8_t* read_block(Bytes stored, size_t table_offset, size_t offset, size_t block_bytes, uint8_t* to) {
  const size_t size = load<uint32_t>(&stored[table_offset]);
  if (size == 0) return nullptr;
  if (size == block_bytes) return &stored[offset];
  const int got = LZ4_decompress_safe(reinterpret_cast<const char*>(&stored[offset]), reinterpret_cast<char*>(to),
                                      static_cast<int>(size), static_cast<int>(block_bytes));
  if (got < 0 || static_cast<size_t>(got) != block_bytes) {
    throw_field(LPC_FORMAT_ERROR, "LZ4 block", offset, got < 0 ? "malformed data" : std::to_string(got) + " bytes",
                std::to_string(block_bytes) + " decoded bytes");
  }
  return to;
}

// Elements of the k-th block of every plane, from the planes' bytes.
void join_block(const SegmentShape& shape, const Layout& layout, size_t k, const uint8_t* planes[kPlanes], Bytes stored,
                uint8_t* out) {
  const SplitKernels& kernels = split_kernels();
  const size_t element_bytes = dtype_bytes(shape.dtype);
  const size_t first = k * kBlockBytes * 8;
  const size_t last = std::min(layout.elements, first + kBlockBytes * 8);
  alignas(64) uint8_t codes[kChunkElements];
  for (size_t begin = first; begin < last; begin += kChunkElements) {
    const size_t n = std::min(kChunkElements, last - begin);
    kernels.from_planes(planes, n, codes);
    kernels.join[shape.dtype](codes, &stored[0] + layout.raw_offset + begin, layout.elements, n, stored[0],
                              out + begin * element_bytes);
    for (size_t p = 0; p < kPlanes; ++p) {
      if (planes[p] != nullptr) planes[p] += kChunkPlaneBytes;
    }
  }
}

}  // namespace

size_t min_stored_bytes(const SegmentShape& shape) { return Layout(shape).blocks_offset; }

size_t decode_scratch_bytes(const SegmentShape& shape) {
  return kPlanes * std::min(kBlockBytes, Layout(shape).plane_bytes);
}

void decode(const SegmentShape& shape, Bytes stored, MutableBytes out, MutableBytes scratch) {
  const Layout layout(shape);
  check_fixed(shape, layout, stored);
  Cursors cursors = find_planes(layout, stored);
  const size_t scratch_stride = std::min(kBlockBytes, layout.plane_bytes);
  for (size_t k = 0; k < layout.blocks_per_plane; ++k) {
    const uint8_t* planes[kPlanes];
    for (size_t p = 0; p < kPlanes; ++p) {
      planes[p] = read_block(stored, cursors.table[p], cursors.bytes[p], layout.block_bytes(k),
                             scratch.data() + p * scratch_stride);
      cursors.bytes[p] += load<uint32_t>(&stored[cursors.table[p]]);
      cursors.table[p] += 4;
    }
    join_block(shape, layout, k, planes, stored, out.data());
  }
}

}  // namespace lpc::lz4
