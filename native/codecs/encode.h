// Encoding a tensor held in memory into a blob, on several threads.
#pragma once

#include "codecs/blob.h"

namespace lpc {

// What a segment aims at where nobody says.
inline constexpr uint64_t kDefaultSegmentBytes = uint64_t{1} << 20;

// Throws LPC_INVALID_ARGUMENT for options out of their range.
void check_options(const lpc_encode_options& options);

// Largest blob that encode_blob can write.
uint64_t encode_bound(const lpc_tensor_desc& tensor, const lpc_encode_options& options);

// Returns the size of the blob, which does not depend on options.threads. `dst` needs encode_bound bytes.
uint64_t encode_blob(const lpc_tensor_desc& tensor, const lpc_encode_options& options, Bytes src, MutableBytes dst);

}  // namespace lpc
