#include "codecs/encode.h"

#include <algorithm>
#include <memory>
#include <mutex>

#include "base/parallel.h"
#include "codecs/checksum.h"
#include "codecs/layout.h"
#include "codecs/registry.h"

namespace lpc {
namespace {

constexpr uint64_t kDefaultSegmentBytes = uint64_t{1} << 20;

void check_options(const lpc_encode_options& options) {
  if (options.struct_bytes != sizeof options) {
    throw Error(LPC_INVALID_ARGUMENT, "options.struct_bytes: got " + std::to_string(options.struct_bytes) +
                                          ", expected " + std::to_string(sizeof options));
  }
  if (options.segment_bytes > kMaxSegmentBytes) {
    throw Error(LPC_INVALID_ARGUMENT, "options.segment_bytes: got " + std::to_string(options.segment_bytes) +
                                          ", expected at most " + std::to_string(kMaxSegmentBytes));
  }
}

// A header with everything but codec parameters, the entries of the segments, and blob_bytes.
BlobHeader plan_blob(const lpc_tensor_desc& tensor, const lpc_encode_options& options) {
  check_options(options);
  BlobHeader header;
  header.codec = get_codec(options.codec).variant(options.layout).id();
  header.tensor = tensor;
  const TensorRows rows = tensor_rows(tensor, DescSource::kCaller);
  header.rows = rows.rows;
  header.row_bytes = rows.row_bytes;
  const uint64_t aim = options.segment_bytes == 0 ? kDefaultSegmentBytes : options.segment_bytes;
  header.rows_per_segment =
      std::clamp<uint64_t>(aim / std::max<uint64_t>(rows.row_bytes, 1), 1, std::max<uint64_t>(rows.rows, 1));
  const uint64_t count = header.decoded_bytes() == 0 ? 0 : ceil_div(header.rows, header.rows_per_segment);
  if (count > kMaxSegments) {
    throw Error(LPC_INVALID_ARGUMENT, "options.segment_bytes: got " + std::to_string(options.segment_bytes) +
                                          ", which makes " + std::to_string(count) +
                                          " segments, expected less than 2^24");
  }
  header.segments.resize(count);
  return header;
}

uint64_t header_bytes_with(const BlobHeader& header, size_t params_bytes) {
  return kFixedHeaderBytes + kSegmentEntryBytes * header.segments.size() + params_bytes;
}

// Where segment `index` goes at the latest: after segments that all stayed raw.
uint64_t slot_offset(const BlobHeader& header, size_t index) {
  const uint64_t full = align_up(header.rows_per_segment * header.row_bytes, kSegmentAlignment);
  return align_up(header.header_bytes, kSegmentAlignment) + index * full;
}

uint64_t bound_of(const BlobHeader& header) {
  if (header.segments.empty()) return align_up(header.header_bytes, kSegmentAlignment);
  const size_t last = header.segments.size() - 1;
  return slot_offset(header, last) + align_up(header.segment_decoded_bytes(last), kSegmentAlignment);
}

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

// Encodes segments into their slots, in any order, and moves each to its place as soon as those before it have theirs.
class SegmentWriter {
 public:
  SegmentWriter(BlobHeader& header, Bytes src, MutableBytes dst)
      : header_(header),
        codec_(get_codec(header.codec)),
        src_(src),
        dst_(dst),
        done_(header.segments.size(), 0),
        end_(header.header_bytes) {}

  size_t scratch_bytes() const { return header_.segments.empty() ? 0 : codec_.encode_scratch_bytes(shape(0)); }

  void encode(size_t index, MutableBytes scratch) {
    const uint64_t raw_bytes = header_.segment_decoded_bytes(index);
    const Bytes raw = src_.subspan(index * header_.rows_per_segment * header_.row_bytes, raw_bytes);
    const MutableBytes slot = dst_.subspan(slot_offset(header_, index), raw_bytes);
    const size_t worth_it = raw_bytes - ceil_div(raw_bytes, 100);  // a gain below 1 % does not pay for the decoding
    Segment& segment = header_.segments[index];
    segment.bytes = codec_.encode(shape(index), header_.codec_params, raw, slot.first(worth_it), scratch);
    segment.encoding = Encoding::kCodec;
    if (segment.bytes == 0) {
      segment.bytes = raw_bytes;
      segment.encoding = Encoding::kRaw;
      std::memcpy(slot.data(), raw.data(), raw_bytes);
    }
    segment.checksum = checksum(slot.first(segment.bytes));
    place_from(index);
  }

  // Size of the blob, once every segment is encoded.
  uint64_t finish() {
    const uint64_t bytes = align_up(end_, kSegmentAlignment);
    std::memset(dst_.data() + end_, 0, bytes - end_);
    return bytes;
  }

 private:
  SegmentShape shape(size_t index) const {
    return {header_.tensor.dtype, header_.segment_rows(index), header_.row_bytes};
  }

  void place_from(size_t index) {
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

  BlobHeader& header_;
  const Codec& codec_;
  const Bytes src_;
  const MutableBytes dst_;
  std::mutex mutex_;
  std::vector<uint8_t> done_;
  size_t next_ = 0;
  uint64_t end_;
};

}  // namespace

uint64_t encode_bound(const lpc_tensor_desc& tensor, const lpc_encode_options& options) {
  BlobHeader header = plan_blob(tensor, options);
  header.header_bytes = static_cast<uint32_t>(header_bytes_with(header, get_codec(header.codec).params_bound(tensor)));
  return bound_of(header);
}

uint64_t encode_blob(const lpc_tensor_desc& tensor, const lpc_encode_options& options, Bytes src, MutableBytes dst) {
  BlobHeader header = plan_blob(tensor, options);
  if (src.size() != header.decoded_bytes()) {
    throw Error(LPC_INVALID_ARGUMENT, "src_bytes: got " + std::to_string(src.size()) + ", expected " +
                                          std::to_string(header.decoded_bytes()) + " for this shape");
  }
  header.codec_params = get_codec(header.codec).variant(options.layout).make_params(tensor, src);
  header.header_bytes = static_cast<uint32_t>(header_bytes_with(header, header.codec_params.size()));
  if (dst.size() < bound_of(header)) {
    throw Error(LPC_BUFFER_TOO_SMALL, "dst_capacity: got " + std::to_string(dst.size()) + " bytes, expected at least " +
                                          std::to_string(bound_of(header)));
  }
  SegmentWriter writer(header, src, dst);
  const size_t count = header.segments.size();
  const size_t scratch_bytes = writer.scratch_bytes();
  std::vector<std::unique_ptr<uint8_t[]>> scratch(effective_threads(count, options.threads));
  parallel_for_workers(count, options.threads, [&](size_t index, unsigned worker) {
    if (!scratch[worker]) scratch[worker].reset(new uint8_t[scratch_bytes]);
    writer.encode(index, {scratch[worker].get(), scratch_bytes});
  });
  header.blob_bytes = writer.finish();
  write_header(header, dst.data());
  return header.blob_bytes;
}

}  // namespace lpc
