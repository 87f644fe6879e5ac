// A DequantizeLinear between a Decompress of int8 and its consumer: symmetric scales a tensor, a row, or a group of
// neighbouring columns of a row of the stored matrix.
#pragma once

#include "ep/api.h"
#include "ep/blob_place.h"
#include "matmul/matrix.h"

namespace lpc {

class StoredBlob;

// "" when the scales can be applied to rows of the stored matrix [rows, columns]; else the reason why not.
std::string dequantize_refusal(const Api& api, const OrtNode* dequantize, bool transposed, int64_t rows,
                               int64_t columns);

// The scales of a node that was not refused. Throws LPC_FORMAT_ERROR, also where the blob is not int8.
RowScales read_scales(const Api& api, const OrtNode* dequantize, const BlobPlace& place, const StoredBlob& blob);

}  // namespace lpc
