// Segments of the other dtypes: one table of 256 symbols a tensor, in the parameters (docs/format.md, 4.2).
#pragma once

#include "codecs/codec.h"

namespace lpc::ans::wide {

size_t min_stored_bytes(const SegmentShape& shape);

size_t encode_scratch_bytes(const SegmentShape& shape);
size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch);

void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out);

}  // namespace lpc::ans::wide
