#pragma once

#include "codecs/codec.h"

namespace lpc::lz4 {

size_t min_stored_bytes(const SegmentShape& shape);
size_t decode_scratch_bytes(const SegmentShape& shape);
void decode(const SegmentShape& shape, Bytes stored, MutableBytes out, MutableBytes scratch);

}  // namespace lpc::lz4
