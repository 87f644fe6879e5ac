// Decoding a blob held in memory, on several threads.
#pragma once

#include "codecs/blob.h"

namespace lpc {

// Header of a blob that fills `blob` exactly; trailing bytes are an error.
BlobHeader parse_whole_blob(Bytes blob);

// Decodes rows [first_row, first_row + row_count) and verifies the segments that hold them.
// `out` must have row_count * row_bytes bytes. threads 0: one a core.
void decode_rows(const BlobHeader& header, Bytes blob, uint64_t first_row, uint64_t row_count, MutableBytes out,
                 unsigned threads);

}  // namespace lpc
