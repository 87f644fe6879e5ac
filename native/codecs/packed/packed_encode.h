#pragma once

#include "codecs/codec.h"

namespace lpc::packed {

size_t encode_scratch_bytes(const SegmentShape& shape);
size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch);

}  // namespace lpc::packed
