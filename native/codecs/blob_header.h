// What the header of a blob says (docs/format.md, sections 2 and 3): the tensor, its codec, and where segments lie.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lpc/lpc.h"

namespace lpc {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline constexpr size_t kFixedHeaderBytes = 96;
inline constexpr size_t kSegmentAlignment = 64;

enum class Encoding : uint8_t { kRaw = 0, kCodec = 1 };

struct Segment {
  uint64_t offset = 0;  // from the start of the blob
  uint64_t bytes = 0;   // stored
  uint64_t checksum = 0;
  Encoding encoding = Encoding::kRaw;
};

struct BlobHeader {
  uint32_t codec = LPC_CODEC_STORED;
  lpc_tensor_desc tensor{};
  uint64_t rows = 0;
  uint64_t row_bytes = 0;
  uint64_t rows_per_segment = 0;  // of a parsed header at most `rows`, so that products with row_bytes are sizes
  uint64_t blob_bytes = 0;
  uint32_t header_bytes = 0;
  std::vector<Segment> segments;
  std::vector<uint8_t> codec_params;

  uint64_t decoded_bytes() const { return rows * row_bytes; }
  uint64_t segment_first_row(size_t index) const { return index * rows_per_segment; }
  uint64_t segment_rows(size_t index) const;
  uint64_t segment_decoded_bytes(size_t index) const { return segment_rows(index) * row_bytes; }
  uint64_t max_stored_segment_bytes() const;
};

}  // namespace lpc
