#pragma once

#include "codecs/codec.h"

namespace lpc::lz4 {

size_t encode_scratch_bytes(const SegmentShape& shape);
size_t encode(const SegmentShape& shape, Bytes src, MutableBytes dst, MutableBytes scratch);

}  // namespace lpc::lz4
