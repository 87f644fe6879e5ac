#include "store/recoded_blob.h"

#include <algorithm>

#include "codecs/segment_writer.h"

namespace lpc {
namespace {

constexpr size_t kSamples = 4;  // segments, evenly over the tensor, that the tables are made from

}  // namespace

RecodedBlob::RecodedBlob(std::shared_ptr<const StoredBlob> from, const Codec& to)
    : from_(std::move(from)), codec_(to), header_(from_->header()) {
  header_.codec = codec_.id();
  header_.codec_params.clear();
  std::fill(header_.segments.begin(), header_.segments.end(), Segment{});
}

void RecodedBlob::reserve(ReadBuffers& buffers) const {
  from_->reserve(buffers);
  if (header_.segments.empty()) return;
  const size_t decoded = header_.segment_decoded_bytes(0);
  buffers.decoded.resize(std::max(buffers.decoded.size(), decoded));
  buffers.encoded.resize(std::max(buffers.encoded.size(), decoded));
  buffers.encode_scratch.resize(std::max(buffers.encode_scratch.size(), codec_.encode_scratch_bytes(shape(0))));
}

Bytes RecodedBlob::encode(size_t index, ReadBuffers& buffers, Observer& observer, Encoding& encoding) {
  make_tables(buffers, observer);
  const std::vector<uint8_t> sample = take_sample(index);
  const Bytes raw =
      decode(index, sample.empty() ? from_->fetch(index, buffers, observer) : Bytes(sample), buffers, observer);
  const auto begin = Clock::now();
  const MutableBytes room(buffers.encoded.data(), worthwhile_bytes(raw.size()));
  const size_t bytes = codec_.encode(shape(index), header_.codec_params, raw, room, buffers.encode_scratch);
  encoding = bytes == 0 ? Encoding::kRaw : Encoding::kCodec;
  if (bytes == 0) std::copy(raw.begin(), raw.end(), buffers.encoded.begin());
  observer.record(observer.statistics.encode_ns, "encode", from_->layer(), begin);
  return {buffers.encoded.data(), bytes == 0 ? raw.size() : bytes};
}

void RecodedBlob::place(size_t index, uint64_t offset, uint64_t bytes, Encoding encoding) {
  header_.segments[index] = {offset, bytes, 0, encoding};
}

// By whichever thread comes first; if it fails, the next one tries.
void RecodedBlob::make_tables(ReadBuffers& buffers, Observer& observer) {
  const std::lock_guard lock(mutex_);
  if (has_tables_) return;
  samples_.clear();
  if (codec_.params_bound(header_.tensor) != 0) {
    const size_t count = header_.segments.size();
    const size_t samples = std::min(count, kSamples);
    std::vector<uint8_t> values;
    values.reserve(samples * header_.segment_decoded_bytes(0));
    for (size_t i = 0; i < samples; ++i) {
      const size_t index = i * count / samples;
      const Bytes stored = from_->fetch(index, buffers, observer);
      samples_.push_back({index, {stored.begin(), stored.end()}});
      const Bytes raw = decode(index, stored, buffers, observer);
      values.insert(values.end(), raw.begin(), raw.end());
    }
    header_.codec_params = codec_.make_params(header_.tensor, values);
  }
  has_tables_ = true;
}

// The stored bytes of a segment that was read for the tables; none the second time, after a pass that was given up.
std::vector<uint8_t> RecodedBlob::take_sample(size_t index) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(samples_.begin(), samples_.end(), [&](const Sample& s) { return s.index == index; });
  if (found == samples_.end()) return {};
  std::vector<uint8_t> stored = std::move(found->stored);
  samples_.erase(found);
  return stored;
}

Bytes RecodedBlob::decode(size_t index, Bytes stored, ReadBuffers& buffers, Observer& observer) const {
  if (from_->header().segments[index].encoding == Encoding::kRaw) return stored;
  const MutableBytes out(buffers.decoded.data(), header_.segment_decoded_bytes(index));
  from_->decode(index, stored, out, buffers, observer);
  return out;
}

SegmentShape RecodedBlob::shape(size_t index) const {
  return {header_.tensor.dtype, header_.segment_rows(index), header_.row_bytes};
}

}  // namespace lpc
