#pragma once

#include "codecs/codec.h"

namespace lpc::bitmap {

// Parameters with the non-zeros by `ans`, or kept as they are.
std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src, lpc_codec inner);

size_t encode_scratch_bytes(const SegmentShape& shape, const Codec& inner);
size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch);

}  // namespace lpc::bitmap
