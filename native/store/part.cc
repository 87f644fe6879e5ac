#include "store/part.h"

#include "codecs/layout.h"

namespace lpc {

ScheduledBlob ScheduledBlob::decoded(std::shared_ptr<SegmentSource> source, Home home) {
  return {std::move(source), home, Form::kDecoded};
}

ScheduledBlob ScheduledBlob::stored(std::shared_ptr<SegmentSource> source, Home home) {
  return {std::move(source), home, Form::kStored};
}

ScheduledBlob ScheduledBlob::transcoded(std::shared_ptr<SegmentSource> source, Home home, const Codec& to) {
  ScheduledBlob result(source, home, Form::kTranscoded);
  result.transcoded_ = std::make_shared<TranscodedBlob>(std::move(source), to);
  return result;
}

const BlobHeader& ScheduledBlob::header() const {
  return transcoded_ != nullptr ? transcoded_->header() : source_->blob().header();
}

void ScheduledBlob::reserve(ReadBuffers& buffers) const {
  source_->blob().reserve(buffers);
  if (transcoded_ != nullptr) transcoded_->reserve(buffers);
}

bool ScheduledBlob::equals(const ScheduledBlob& other) const {
  const auto codec = [](const ScheduledBlob& blob) {
    return blob.transcoded() == nullptr ? nullptr : &blob.transcoded()->codec();
  };
  const StoredBlob& mine = source_->blob();
  const StoredBlob& others = other.source_->blob();
  return mine.offset() == others.offset() && mine.layer() == others.layer() && home_ == other.home_ &&
         form_ == other.form_ && source_->kept_bytes() == other.source_->kept_bytes() && codec(*this) == codec(other);
}

uint64_t Part::bytes() const {
  if (form() == Form::kDecoded) return decoded_bytes();
  if (segment_count == 0) return 0;
  const auto& segments = header().segments;
  const Segment& last = segments[first_segment + segment_count - 1];
  return last.offset + last.bytes - segments[first_segment].offset;
}

uint64_t Part::most_bytes() const { return form() == Form::kTranscoded ? ring_offset(segment_count) : bytes(); }

uint64_t Part::ring_offset(size_t segment) const {
  const BlobHeader& header = blob().header();
  return segment * align_up(header.rows_per_segment * header.row_bytes, kSegmentAlignment);
}

}  // namespace lpc
