// The kinds of matrices there are: which one can hold a weight, and how it is opened.
#pragma once

#include "matmul/matrix.h"

namespace lpc {

// What computes the products.
enum class Backend : uint8_t { kCpu };
inline constexpr size_t kBackends = 1;

struct MatrixKind {
  bool (*can_hold)(const BlobHeader& header, Form form, const RowScales& scales);
  // By backend; null where it has no such matrix. Checks the structure of each segment, not the checksums. Throws
  // LPC_FORMAT_ERROR.
  std::unique_ptr<Matrix> (*open[kBackends])(const MatrixSource& source);
};

// Whether products can be computed from the stored bytes of a blob.
bool can_multiply_stored(const BlobHeader& header);

// Throws LPC_UNSUPPORTED where no kind can hold the weight, LPC_FORMAT_ERROR, LPC_INVALID_ARGUMENT.
std::unique_ptr<Matrix> open_matrix(const MatrixSource& source, Backend backend = Backend::kCpu);

}  // namespace lpc
