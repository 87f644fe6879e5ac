// `ans`: interleaved rANS over exponents or whole bytes (docs/format.md, 4.2).
#include "codecs/ans/ans_codec.h"

#include "codecs/ans/narrow.h"
#include "codecs/ans/params.h"
#include "codecs/ans/wide.h"

namespace lpc {
namespace {

bool is_narrow(uint32_t dtype) { return ans::table_kind(dtype) == ans::kNarrow; }

class AnsCodec final : public Codec {
 public:
  uint32_t id() const override { return LPC_CODEC_ANS; }
  const char* name() const override { return "ans"; }
  uint64_t assumed_decode_bytes_per_s() const override { return 500'000'000; }

  size_t params_bound(const lpc_tensor_desc& tensor) const override {
    return ans::params_bytes(ans::table_kind(tensor.dtype));
  }
  std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src) const override {
    return ans::make_params(tensor.dtype,
                            is_narrow(tensor.dtype) ? ans::Counts() : ans::count_codes(tensor.dtype, src));
  }
  bool params_from_sample() const override { return false; }
  void check_params(const lpc_tensor_desc& tensor, Bytes params) const override {
    ans::check_params(tensor.dtype, params);
  }

  size_t encode_scratch_bytes(const SegmentShape& shape) const override {
    return is_narrow(shape.dtype) ? ans::narrow::encode_scratch_bytes(shape) : ans::wide::encode_scratch_bytes(shape);
  }
  size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst,
                MutableBytes scratch) const override {
    return is_narrow(shape.dtype) ? ans::narrow::encode(shape, src, dst, scratch)
                                  : ans::wide::encode(shape, params, src, dst, scratch);
  }

  size_t min_stored_bytes(const SegmentShape& shape) const override {
    return is_narrow(shape.dtype) ? ans::narrow::min_stored_bytes(shape) : ans::wide::min_stored_bytes(shape);
  }

  size_t decode_scratch_bytes(const SegmentShape&) const override { return 0; }
  void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out, MutableBytes) const override {
    is_narrow(shape.dtype) ? ans::narrow::decode(shape, stored, out) : ans::wide::decode(shape, params, stored, out);
  }
};

}  // namespace

const Codec& ans_codec() {
  static const AnsCodec codec;
  return codec;
}

}  // namespace lpc
