#include "store/transcoded_blob.h"

#include <algorithm>

namespace lpc {

// Reads for the tables (keeping what it reads) or for encoding.
class TranscodedBlob::Reader final : public SegmentReader {
 public:
  Reader(TranscodedBlob& owner, ReadBuffers& buffers, Observer& observer, bool for_tables)
      : owner_(owner), buffers_(buffers), observer_(observer), for_tables_(for_tables) {}

  Bytes fetch(size_t index) override {
    if (for_tables_) {
      const Bytes stored = owner_.from_->fetch(index, buffers_, observer_);
      owner_.samples_.push_back({index, {stored.begin(), stored.end()}});
      return stored;
    }
    sample_ = owner_.take_sample(index);
    return sample_.empty() ? owner_.from_->fetch(index, buffers_, observer_) : Bytes(sample_);
  }
  void decode(size_t index, Bytes stored, MutableBytes out) override {
    owner_.from_->blob().decode(index, stored, out, buffers_, observer_);
  }

 private:
  TranscodedBlob& owner_;
  ReadBuffers& buffers_;
  Observer& observer_;
  const bool for_tables_;
  std::vector<uint8_t> sample_;
};

TranscodedBlob::TranscodedBlob(std::shared_ptr<SegmentSource> from, const Codec& to)
    : from_(std::move(from)), transcoder_(from_->blob().header(), to), header_(transcoder_.plan()) {}

void TranscodedBlob::reserve(ReadBuffers& buffers) const {
  const size_t decoded = transcoder_.decoded_bytes();
  buffers.decoded.resize(std::max(buffers.decoded.size(), decoded));
  buffers.encoded.resize(std::max(buffers.encoded.size(), decoded));
  buffers.encode_scratch.resize(std::max(buffers.encode_scratch.size(), transcoder_.encode_scratch_bytes()));
}

EncodedSegment TranscodedBlob::encode(size_t index, ReadBuffers& buffers, Observer& observer) {
  make_tables(buffers, observer);
  Reader reader(*this, buffers, observer, false);
  const Bytes raw = transcoder_.decode(index, reader, buffers.decoded);
  const auto begin = Clock::now();
  const MutableBytes out = MutableBytes(buffers.encoded).first(raw.size());
  const EncodedSegment encoded = encode_segment(header_, index, raw, out, buffers.encode_scratch);
  observer.record(observer.statistics.encode_ns, "encode", from_->blob().layer(), begin);
  return encoded;
}

void TranscodedBlob::place(size_t index, uint64_t offset, const EncodedSegment& encoded) {
  header_.segments[index] = {offset, encoded.bytes, 0, encoded.encoding};
}

// By whichever thread comes first; if it fails, the next one tries.
void TranscodedBlob::make_tables(ReadBuffers& buffers, Observer& observer) {
  const std::lock_guard lock(mutex_);
  if (has_tables_) return;
  samples_.clear();
  Reader reader(*this, buffers, observer, true);
  header_.codec_params = transcoder_.make_params(reader, buffers.decoded);
  has_tables_ = true;
}

// The stored bytes of a segment that was read for the tables; none the second time.
std::vector<uint8_t> TranscodedBlob::take_sample(size_t index) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(samples_.begin(), samples_.end(), [&](const Sample& s) { return s.index == index; });
  if (found == samples_.end()) return {};
  std::vector<uint8_t> stored = std::move(found->stored);
  samples_.erase(found);
  return stored;
}

}  // namespace lpc
