// Writing a blob segment by segment, on several threads, into memory of its largest size.
#pragma once

#include <mutex>

#include "codecs/codec.h"

namespace lpc {

// Sizes of a header with `params_bytes` of codec parameters, and of the blob if every segment stays raw.
uint32_t header_bytes_with(const BlobHeader& header, size_t params_bytes);
uint64_t blob_bytes_bound(const BlobHeader& header);

// Throws LPC_BUFFER_TOO_SMALL if `dst` is smaller than blob_bytes_bound.
void require_room(const BlobHeader& header, MutableBytes dst);

struct EncodedSegment {
  uint64_t bytes = 0;
  Encoding encoding = Encoding::kRaw;
};

// Encodes the decoded bytes of segment `index` into `dst`, of the same size; copies them there where encoding saves too
// little. Of `header`, codec, tensor, rows and parameters are set. Allocates nothing.
EncodedSegment encode_segment(const BlobHeader& header, size_t index, Bytes raw, MutableBytes dst,
                              MutableBytes scratch);

// The same blob whatever the order in which segments are encoded.
class SegmentWriter {
 public:
  // Of `header`, codec, tensor, rows, parameters and header_bytes are set, and `segments` has the right size.
  // raw_parts: as in lpc_encode_options.
  SegmentWriter(BlobHeader& header, uint32_t raw_parts, MutableBytes dst);

  size_t scratch_bytes() const;

  // Thread-safe for different segments. `raw` are the decoded bytes of the segment.
  void encode(size_t index, Bytes raw, MutableBytes scratch);

  // Writes the header and returns the size of the blob, once every segment is encoded.
  uint64_t finish();

 private:
  void place_from(size_t index);

  BlobHeader& header_;
  const uint32_t raw_parts_;
  const MutableBytes dst_;
  std::mutex mutex_;
  std::vector<uint8_t> done_;
  size_t next_ = 0;
  uint64_t end_;
};

}  // namespace lpc
