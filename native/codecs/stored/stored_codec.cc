// `stored`: every segment is raw (docs/format.md, 4.0), so there is nothing to encode and nothing to decode.
#include "codecs/stored/stored_codec.h"

#include "base/error.h"

namespace lpc {
namespace {

class StoredCodec final : public Codec {
 public:
  uint32_t id() const override { return LPC_CODEC_STORED; }
  const char* name() const override { return "stored"; }
  uint64_t assumed_decode_bytes_per_s() const override { return 4'000'000'000; }

  size_t encode_scratch_bytes(const SegmentShape&) const override { return 0; }
  size_t encode(const SegmentShape&, Bytes, Bytes, MutableBytes, MutableBytes) const override { return 0; }

  size_t min_stored_bytes(const SegmentShape& shape) const override { return shape.bytes(); }

  size_t decode_scratch_bytes(const SegmentShape&) const override { return 0; }
  void decode(const SegmentShape&, Bytes, Bytes, MutableBytes, MutableBytes) const override {
    throw Error(LPC_FORMAT_ERROR, "encoding: got 1, expected 0 for codec stored");
  }
};

}  // namespace

const Codec& stored_codec() {
  static const StoredCodec codec;
  return codec;
}

}  // namespace lpc
