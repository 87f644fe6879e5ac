#include "codecs/transcode.h"

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "codecs/codec.h"
#include "codecs/encode.h"
#include "codecs/layout.h"
#include "codecs/segment_writer.h"

namespace lpc {
namespace {

constexpr uint64_t kSampleBytes = uint64_t{4} << 20;  // decoded: what tables are made for

const Codec& target_codec(const lpc_encode_options& options) {
  const Codec& codec = get_codec(options.codec).variant(options.layout);
  if (codec.params_from_sample()) return codec;
  throw Error(LPC_UNSUPPORTED, std::string("options.codec: got ") + codec.name() +
                                   ", whose tables need the whole tensor; transcode to stored, lz4 or packed");
}

BlobHeader plan(const BlobHeader& from, const lpc_encode_options& options) {
  check_options(options);
  if (options.segment_bytes != 0) {
    throw Error(LPC_INVALID_ARGUMENT, "options.segment_bytes: got " + std::to_string(options.segment_bytes) +
                                          ", expected 0: segments keep their rows");
  }
  BlobHeader header = from;
  header.codec = target_codec(options).id();
  header.codec_params.clear();
  std::fill(header.segments.begin(), header.segments.end(), Segment{});
  return header;
}

// Memory of one thread, not initialised: it is written before it is read.
struct Memory {
  std::unique_ptr<uint8_t[]> raw, decode_scratch, encode_scratch;
};

class Decoder {
 public:
  Decoder(const BlobHeader& from, Bytes blob) : from_(from), blob_(blob), scratch_bytes_(segment_scratch_bytes(from)) {}

  uint64_t segment_bytes() const { return from_.segments.empty() ? 0 : from_.segment_decoded_bytes(0); }
  std::unique_ptr<uint8_t[]> scratch() const { return std::unique_ptr<uint8_t[]>(new uint8_t[scratch_bytes_]); }

  // The decoded bytes of a segment: in the blob if it is raw, else in `to`.
  Bytes decode(size_t index, uint8_t* to, uint8_t* scratch) const {
    const Segment& segment = from_.segments[index];
    const Bytes stored = blob_.subspan(segment.offset, segment.bytes);
    if (segment.encoding == Encoding::kRaw) {
      verify_segment(from_, index, stored);
      return stored;
    }
    const MutableBytes out(to, from_.segment_decoded_bytes(index));
    decode_verified(from_, index, stored, out, {scratch, scratch_bytes_});
    return out;
  }

 private:
  const BlobHeader& from_;
  const Bytes blob_;
  const size_t scratch_bytes_;
};

// Parameters for segments that lie evenly over the tensor.
std::vector<uint8_t> sample_params(const Codec& codec, const BlobHeader& from, const Decoder& decoder) {
  const size_t count = from.segments.size();
  const uint64_t most = std::max<uint64_t>(1, kSampleBytes / std::max<uint64_t>(1, decoder.segment_bytes()));
  const size_t samples = std::min<uint64_t>(count, most);
  std::vector<uint8_t> sample;
  sample.reserve(samples * decoder.segment_bytes());
  const std::unique_ptr<uint8_t[]> raw(new uint8_t[decoder.segment_bytes()]), scratch = decoder.scratch();
  for (size_t i = 0; i < samples; ++i) {
    const Bytes part = decoder.decode(i * count / samples, raw.get(), scratch.get());
    sample.insert(sample.end(), part.begin(), part.end());
  }
  return codec.make_params(from.tensor, sample);
}

}  // namespace

uint64_t transcode_bound(const BlobHeader& from, const lpc_encode_options& options) {
  BlobHeader header = plan(from, options);
  header.header_bytes = header_bytes_with(header, get_codec(header.codec).params_bound(header.tensor));
  return blob_bytes_bound(header);
}

uint64_t transcode_blob(const BlobHeader& from, Bytes blob, const lpc_encode_options& options, MutableBytes dst) {
  BlobHeader header = plan(from, options);
  const Codec& codec = target_codec(options);
  const Decoder decoder(from, blob);
  if (codec.params_bound(from.tensor) != 0) header.codec_params = sample_params(codec, from, decoder);
  header.header_bytes = header_bytes_with(header, header.codec_params.size());
  require_room(header, dst);
  SegmentWriter writer(header, options.raw_parts, dst);
  const size_t count = header.segments.size();
  std::vector<Memory> memory(effective_threads(count, options.threads));
  parallel_for_workers(count, options.threads, [&](size_t index, unsigned worker) {
    Memory& own = memory[worker];
    if (!own.raw) {
      own.encode_scratch.reset(new uint8_t[writer.scratch_bytes()]);
      own.decode_scratch = decoder.scratch();
      own.raw.reset(new uint8_t[decoder.segment_bytes()]);
    }
    const Bytes raw = decoder.decode(index, own.raw.get(), own.decode_scratch.get());
    writer.encode(index, raw, {own.encode_scratch.get(), writer.scratch_bytes()});
  });
  return writer.finish();
}

}  // namespace lpc
