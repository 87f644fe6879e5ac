#include "codecs/transcode.h"

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "codecs/encode.h"
#include "codecs/layout.h"
#include "codecs/segment_writer.h"

namespace lpc {
namespace {

// What tables are made from: so many decoded bytes, and no fewer segments than that.
constexpr uint64_t kSampleBytes = uint64_t{4} << 20;
constexpr uint64_t kLeastSamples = 4;

const Codec& target_codec(const lpc_encode_options& options) {
  check_options(options);
  if (options.segment_bytes != 0) {
    throw Error(LPC_INVALID_ARGUMENT, "options.segment_bytes: got " + std::to_string(options.segment_bytes) +
                                          ", expected 0: segments keep their rows");
  }
  return get_codec(options.codec).variant(options.layout);
}

// Memory of one thread, not initialised: it is written before it is read.
class ThreadMemory {
 public:
  void reserve(size_t decoded, size_t decode_scratch, size_t encode_scratch) {
    if (!decoded_) decoded_.reset(new uint8_t[decoded]);
    if (!decode_scratch_) decode_scratch_.reset(new uint8_t[decode_scratch]);
    if (!encode_scratch_) encode_scratch_.reset(new uint8_t[encode_scratch]);
    this->decoded = {decoded_.get(), decoded};
    this->decode_scratch = {decode_scratch_.get(), decode_scratch};
    this->encode_scratch = {encode_scratch_.get(), encode_scratch};
  }
  MutableBytes decoded, decode_scratch, encode_scratch;

 private:
  std::unique_ptr<uint8_t[]> decoded_, decode_scratch_, encode_scratch_;
};

class BlobReader final : public SegmentReader {
 public:
  BlobReader(const BlobHeader& header, Bytes blob, MutableBytes scratch)
      : header_(header), blob_(blob), scratch_(scratch) {}

  Bytes fetch(size_t index) override {
    const Segment& segment = header_.segments[index];
    const Bytes stored = blob_.subspan(segment.offset, segment.bytes);
    verify_segment(header_, index, stored);
    return stored;
  }
  void decode(size_t index, Bytes stored, MutableBytes out) override {
    decode_segment(header_, index, stored, out, scratch_);
  }

 private:
  const BlobHeader& header_;
  const Bytes blob_;
  const MutableBytes scratch_;
};

// "stored, lz4 or packed".
std::string targets() {
  std::vector<std::string> names;
  for (size_t i = 0; i < codec_count(); ++i) {
    if (codec_at(i).params_from_sample()) names.emplace_back(codec_at(i).name());
  }
  std::string text = names.front();
  for (size_t i = 1; i < names.size(); ++i) text += (i + 1 < names.size() ? ", " : " or ") + names[i];
  return text;
}

}  // namespace

Transcoder::Transcoder(const BlobHeader& from, const Codec& to) : from_(from), codec_(to) {
  if (codec_.params_from_sample()) return;
  throw Error(LPC_UNSUPPORTED, std::string("options.codec: got ") + codec_.name() +
                                   ", whose tables need the whole tensor; transcode to " + targets());
}

BlobHeader Transcoder::plan() const {
  BlobHeader header = from_;
  header.codec = codec_.id();
  header.codec_params.clear();
  std::fill(header.segments.begin(), header.segments.end(), Segment{});
  return header;
}

size_t Transcoder::decoded_bytes() const { return from_.segments.empty() ? 0 : from_.segment_decoded_bytes(0); }

size_t Transcoder::encode_scratch_bytes() const {
  return from_.segments.empty() ? 0 : codec_.encode_scratch_bytes(segment_shape(from_, 0));
}

std::vector<uint8_t> Transcoder::make_params(SegmentReader& reader, MutableBytes room) const {
  if (codec_.params_bound(from_.tensor) == 0) return {};
  const size_t count = from_.segments.size();
  const uint64_t most = std::max(kLeastSamples, kSampleBytes / std::max<uint64_t>(1, decoded_bytes()));
  const size_t samples = std::min<uint64_t>(count, most);
  std::vector<uint8_t> values;
  values.reserve(samples * decoded_bytes());
  for (size_t i = 0; i < samples; ++i) {
    const Bytes raw = decode(i * count / samples, reader, room);
    values.insert(values.end(), raw.begin(), raw.end());
  }
  return codec_.make_params(from_.tensor, values);
}

Bytes Transcoder::decode(size_t index, SegmentReader& reader, MutableBytes room) const {
  const Bytes stored = reader.fetch(index);
  if (from_.segments[index].encoding == Encoding::kRaw) return stored;
  const MutableBytes out = room.first(from_.segment_decoded_bytes(index));
  reader.decode(index, stored, out);
  return out;
}

uint64_t transcode_bound(const BlobHeader& from, const lpc_encode_options& options) {
  const Codec& codec = target_codec(options);
  BlobHeader header = Transcoder(from, codec).plan();
  header.header_bytes = header_bytes_with(header, codec.params_bound(header.tensor));
  return blob_bytes_bound(header);
}

uint64_t transcode_blob(const BlobHeader& from, Bytes blob, const lpc_encode_options& options, MutableBytes dst) {
  const Transcoder transcoder(from, target_codec(options));
  const size_t count = from.segments.size();
  std::vector<ThreadMemory> memory(std::max(effective_threads(count, options.threads), 1u));
  const auto reserved = [&](unsigned worker) -> ThreadMemory& {
    memory[worker].reserve(transcoder.decoded_bytes(), segment_scratch_bytes(from), transcoder.encode_scratch_bytes());
    return memory[worker];
  };
  BlobHeader header = transcoder.plan();
  BlobReader first(from, blob, reserved(0).decode_scratch);
  header.codec_params = transcoder.make_params(first, memory[0].decoded);
  header.header_bytes = header_bytes_with(header, header.codec_params.size());
  require_room(header, dst);
  SegmentWriter writer(header, options.raw_parts, dst);
  parallel_for_workers(count, options.threads, [&](size_t index, unsigned worker) {
    const ThreadMemory& own = reserved(worker);
    BlobReader reader(from, blob, own.decode_scratch);
    writer.encode(index, transcoder.decode(index, reader, own.decoded), own.encode_scratch);
  });
  return writer.finish();
}

}  // namespace lpc
