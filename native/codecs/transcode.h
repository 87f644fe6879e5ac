// A blob in another codec, without the whole decoded tensor in memory.
#pragma once

#include "codecs/blob.h"

namespace lpc {

uint64_t transcode_bound(const BlobHeader& from, const lpc_encode_options& options);

// Returns the size of the new blob. `dst` needs transcode_bound bytes.
uint64_t transcode_blob(const BlobHeader& from, Bytes blob, const lpc_encode_options& options, MutableBytes dst);

}  // namespace lpc
