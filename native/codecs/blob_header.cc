#include "codecs/blob_header.h"

#include <algorithm>

namespace lpc {

uint64_t BlobHeader::segment_rows(size_t index) const {
  const uint64_t first = segment_first_row(index);
  return std::min(rows - first, rows_per_segment);
}

uint64_t BlobHeader::max_stored_segment_bytes() const {
  uint64_t largest = 0;
  for (const Segment& segment : segments) largest = std::max(largest, segment.bytes);
  return largest;
}

}  // namespace lpc
