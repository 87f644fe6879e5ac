// Where the parts of an lz4 segment lie (docs/format.md, 4.1).
#pragma once

#include <algorithm>

#include "codecs/codec.h"
#include "codecs/layout.h"
#include "simd/split/split.h"

namespace lpc::lz4 {

inline constexpr size_t kBlockBytes = 65536;    // of one plane
inline constexpr size_t kFixedBytes = 8;        // bias, reserved, block_count
inline constexpr size_t kChunkElements = 4096;  // transformed at a time: stays in the first-level cache
inline constexpr size_t kChunkPlaneBytes = kChunkElements / 8;

static_assert(kBlockBytes % kChunkPlaneBytes == 0, "a chunk lies within one block");

struct Layout {
  explicit Layout(const SegmentShape& shape)
      : elements(shape.elements()),
        plane_bytes(ceil_div(elements, 8)),
        blocks_per_plane(ceil_div(plane_bytes, kBlockBytes)),
        block_count(kPlanes * blocks_per_plane),
        table_offset(kFixedBytes),
        raw_offset(align_up(table_offset + 4 * block_count, kSegmentAlignment)),
        blocks_offset(raw_offset + raw_arrays(shape.dtype) * elements) {}

  size_t block_bytes(size_t k) const { return std::min(kBlockBytes, plane_bytes - k * kBlockBytes); }

  size_t elements;
  size_t plane_bytes;
  size_t blocks_per_plane;
  size_t block_count;
  size_t table_offset;
  size_t raw_offset;
  size_t blocks_offset;
};

}  // namespace lpc::lz4
