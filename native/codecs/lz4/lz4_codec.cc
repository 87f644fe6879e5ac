// `lz4`, the LPC codec: exponent distance, bit planes, LZ4 (docs/format.md, 4.1). No parameters.
#include "codecs/lz4/lz4_codec.h"

#include "codecs/lz4/lz4_decode.h"
#include "codecs/lz4/lz4_encode.h"

namespace lpc {
namespace {

class Lz4Codec final : public Codec {
 public:
  uint32_t id() const override { return LPC_CODEC_LZ4; }
  const char* name() const override { return "lz4"; }
  uint64_t assumed_decode_bytes_per_s() const override { return 1'000'000'000; }

  size_t encode_scratch_bytes(const SegmentShape& shape) const override { return lz4::encode_scratch_bytes(shape); }
  size_t encode(const SegmentShape& shape, Bytes, Bytes src, MutableBytes dst, MutableBytes scratch) const override {
    return lz4::encode(shape, src, dst, scratch);
  }

  size_t min_stored_bytes(const SegmentShape& shape) const override { return lz4::min_stored_bytes(shape); }

  size_t decode_scratch_bytes(const SegmentShape& shape) const override { return lz4::decode_scratch_bytes(shape); }
  void decode(const SegmentShape& shape, Bytes, Bytes stored, MutableBytes out, MutableBytes scratch) const override {
    lz4::decode(shape, stored, out, scratch);
  }
};

}  // namespace

const Codec& lz4_codec() {
  static const Lz4Codec codec;
  return codec;
}

}  // namespace lpc
