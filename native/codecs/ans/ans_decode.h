#pragma once

#include "codecs/codec.h"

namespace lpc::ans {

size_t min_stored_bytes(const SegmentShape& shape);
void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out);

}  // namespace lpc::ans
