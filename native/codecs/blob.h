// The blob container (docs/format.md, sections 2 and 3): header, segment table, segments.
//
// Knows neither files nor threads nor ONNX Runtime. A blob can be read piecewise: parse the header from a prefix of
// the bytes, then decode any segment from its stored bytes alone.
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
  lpc_codec codec = LPC_CODEC_STORED;
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

// Size of one element in bytes; throws LPC_UNSUPPORTED for an unknown dtype.
size_t dtype_bytes(uint32_t dtype);

// Reads magic, version and header_bytes from the first kFixedHeaderBytes bytes: how much parse_blob_header needs.
uint32_t peek_header_bytes(Bytes prefix);

// Checks and reads the header from a prefix of at least header_bytes bytes. `available_bytes` is how many bytes the
// blob may take in its container (file extent or buffer). Throws Error naming field and offset.
BlobHeader parse_blob_header(Bytes prefix, uint64_t available_bytes);

// Throws LPC_CHECKSUM_MISMATCH naming the segment.
void verify_segment(const BlobHeader& header, size_t index, Bytes stored);

// Scratch bytes that decode_segment needs for any segment of this blob.
size_t segment_scratch_bytes(const BlobHeader& header);

// Decodes one segment and verifies its checksum, in this order: decoding waits less for memory than computing a
// checksum does, which then finds the bytes in the cache. Damage is LPC_CHECKSUM_MISMATCH whatever the decoder said
// about it, and `out` undefined, as after all errors. Otherwise like decode_segment.
void decode_verified(const BlobHeader& header, size_t index, Bytes stored, MutableBytes out, MutableBytes scratch);

// Decodes one segment from its stored bytes; does not verify the checksum, never allocates.
// `out` must have exactly segment_decoded_bytes(index) bytes and may have any alignment.
void decode_segment(const BlobHeader& header, size_t index, Bytes stored, MutableBytes out, MutableBytes scratch);

}  // namespace lpc
