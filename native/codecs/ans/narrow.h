// Segments of the dtypes whose exponents take few values: tables of 16 symbols, in the segment (docs/format.md, 4.2).
#pragma once

#include "codecs/codec.h"

namespace lpc::ans::narrow {

size_t min_stored_bytes(const SegmentShape& shape);

size_t encode_scratch_bytes(const SegmentShape& shape);
size_t encode(const SegmentShape& shape, Bytes src, MutableBytes dst, MutableBytes scratch);

void decode(const SegmentShape& shape, Bytes stored, MutableBytes out);

}  // namespace lpc::ans::narrow
