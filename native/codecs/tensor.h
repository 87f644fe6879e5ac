// Data types and the division of a tensor into rows and segments.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lpc/lpc.h"

namespace lpc {

// Name of a dtype in docs/format.md, section 3; "unknown" for a number that is none.
const char* dtype_name(uint32_t dtype);

// Size of one element in bytes; throws LPC_UNSUPPORTED for an unknown dtype.
size_t dtype_bytes(uint32_t dtype);

struct TensorRows {
  uint64_t rows = 0;
  uint64_t row_bytes = 0;
};

// Whether the description was given by a caller or read from a blob: decides status and wording of errors.
enum class DescSource { kCaller, kBlob };

// Checks dtype, rank, shape and their limits; throws Error naming the field.
TensorRows tensor_rows(const lpc_tensor_desc& tensor, DescSource source);

}  // namespace lpc
