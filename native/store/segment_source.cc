#include "store/segment_source.h"

#include <algorithm>

namespace lpc {

KeptSource::KeptSource(std::shared_ptr<const StoredBlob> blob)
    : SegmentSource(std::move(blob)), is_kept_(this->blob().header().segments.size(), 0) {}

uint64_t KeptSource::kept_bytes() const {
  const auto& segments = blob().header().segments;
  return segments.empty() ? 0 : segments.back().offset + segments.back().bytes - segments.front().offset;
}

Bytes KeptSource::fetch(size_t index, ReadBuffers& buffers, Observer& observer) {
  const auto& segments = blob().header().segments;
  uint8_t* place = memory_ + (segments[index].offset - segments.front().offset);
  if (is_kept_[index] == 0) {
    const Bytes stored = SegmentSource::fetch(index, buffers, observer);
    std::copy(stored.begin(), stored.end(), place);
    is_kept_[index] = 1;
  }
  return {place, segments[index].bytes};
}

}  // namespace lpc
