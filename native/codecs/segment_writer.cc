#include "codecs/segment_writer.h"

#include "codecs/checksum.h"
#include "codecs/codec.h"
#include "codecs/layout.h"
#include "codecs/partial.h"

namespace lpc {
namespace {

// Where segment `index` goes at the latest: after segments that all stayed raw.
uint64_t slot_offset(const BlobHeader& header, size_t index) {
  const uint64_t full = align_up(header.rows_per_segment * header.row_bytes, kSegmentAlignment);
  return align_up(header.header_bytes, kSegmentAlignment) + index * full;
}

// What an encoded segment may take at most: a gain below 1 % does not pay for the decoding.
uint64_t worthwhile_bytes(uint64_t raw_bytes) { return raw_bytes - ceil_div(raw_bytes, 100); }

void write_header(const BlobHeader& header, uint8_t* to) {
  std::memset(to, 0, header.header_bytes);
  std::memcpy(to, kMagicBytes, sizeof kMagicBytes);
  store(to + field::kVersion.offset, static_cast<uint16_t>(LPC_FORMAT_VERSION));
  to[field::kCodec.offset] = static_cast<uint8_t>(header.codec);
  to[field::kDtype.offset] = static_cast<uint8_t>(header.tensor.dtype);
  to[field::kRank.offset] = static_cast<uint8_t>(header.tensor.rank);
  store(to + field::kSegmentCount.offset, static_cast<uint32_t>(header.segments.size()));
  std::memcpy(to + field::kShape.offset, header.tensor.shape, field::kShape.bytes);
  store(to + field::kRowsPerSegment.offset, header.rows_per_segment);
  store(to + field::kCodecParamsBytes.offset, static_cast<uint32_t>(header.codec_params.size()));
  store(to + field::kHeaderBytes.offset, header.header_bytes);
  store(to + field::kBlobBytes.offset, header.blob_bytes);
  uint8_t* entry = to + kFixedHeaderBytes;
  for (const Segment& segment : header.segments) {
    store(entry + kSegmentFields[0].offset, segment.offset);
    store(entry + kSegmentFields[1].offset, segment.bytes);
    store(entry + kSegmentFields[2].offset, segment.checksum);
    entry[kSegmentFields[3].offset] = static_cast<uint8_t>(segment.encoding);
    entry += kSegmentEntryBytes;
  }
  std::copy(header.codec_params.begin(), header.codec_params.end(), entry);
  store(to + field::kHeaderChecksum.offset, header_checksum({to, header.header_bytes}));
}

}  // namespace

uint32_t header_bytes_with(const BlobHeader& header, size_t params_bytes) {
  return static_cast<uint32_t>(kFixedHeaderBytes + kSegmentEntryBytes * header.segments.size() + params_bytes);
}

uint64_t blob_bytes_bound(const BlobHeader& header) {
  if (header.segments.empty()) return align_up(header.header_bytes, kSegmentAlignment);
  const size_t last = header.segments.size() - 1;
  return slot_offset(header, last) + align_up(header.segment_decoded_bytes(last), kSegmentAlignment);
}

void require_room(const BlobHeader& header, MutableBytes dst) {
  if (dst.size() >= blob_bytes_bound(header)) return;
  throw Error(LPC_BUFFER_TOO_SMALL, "dst_capacity: got " + std::to_string(dst.size()) + " bytes, expected at least " +
                                        std::to_string(blob_bytes_bound(header)));
}

EncodedSegment encode_segment(const BlobHeader& header, size_t index, Bytes raw, MutableBytes dst,
                              MutableBytes scratch) {
  const MutableBytes worthwhile = dst.first(worthwhile_bytes(raw.size()));
  const Codec& codec = get_codec(header.codec);
  const uint64_t bytes = codec.encode(segment_shape(header, index), header.codec_params, raw, worthwhile, scratch);
  if (bytes != 0) return {bytes, Encoding::kCodec};
  std::memcpy(dst.data(), raw.data(), raw.size());
  return {raw.size(), Encoding::kRaw};
}

SegmentWriter::SegmentWriter(BlobHeader& header, uint32_t raw_parts, MutableBytes dst)
    : header_(header), raw_parts_(raw_parts), dst_(dst), done_(header.segments.size(), 0), end_(header.header_bytes) {}

size_t SegmentWriter::scratch_bytes() const {
  return header_.segments.empty() ? 0 : get_codec(header_.codec).encode_scratch_bytes(segment_shape(header_, 0));
}

void SegmentWriter::encode(size_t index, Bytes raw, MutableBytes scratch) {
  const MutableBytes slot = dst_.subspan(slot_offset(header_, index), raw.size());
  Segment& segment = header_.segments[index];
  if (stays_raw(index, raw_parts_)) {
    segment.bytes = raw.size();
    segment.encoding = Encoding::kRaw;
    std::memcpy(slot.data(), raw.data(), raw.size());
  } else {
    const EncodedSegment encoded = encode_segment(header_, index, raw, slot, scratch);
    segment.bytes = encoded.bytes;
    segment.encoding = encoded.encoding;
  }
  segment.checksum = checksum(slot.first(segment.bytes));
  place_from(index);
}

// Moves each segment to its place as soon as those before it have theirs.
void SegmentWriter::place_from(size_t index) {
  std::lock_guard<std::mutex> lock(mutex_);
  done_[index] = 1;
  for (; next_ < done_.size() && done_[next_] != 0; ++next_) {
    Segment& segment = header_.segments[next_];
    segment.offset = align_up(end_, kSegmentAlignment);
    std::memset(dst_.data() + end_, 0, segment.offset - end_);
    std::memmove(dst_.data() + segment.offset, dst_.data() + slot_offset(header_, next_), segment.bytes);
    end_ = segment.offset + segment.bytes;
  }
}

uint64_t SegmentWriter::finish() {
  header_.blob_bytes = align_up(end_, kSegmentAlignment);
  std::memset(dst_.data() + end_, 0, header_.blob_bytes - end_);
  write_header(header_, dst_.data());
  return header_.blob_bytes;
}

}  // namespace lpc
