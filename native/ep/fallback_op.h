// lpc::Decompress as a plain CPU operator: decodes the whole weight at every call. It lets any ONNX Runtime run an
// exported model; the provider replaces it wherever it can.
#pragma once

#include "ep/api.h"

namespace lpc {

// Adds the `lpc` domain with Decompress to the session's options. The domain lives until the process ends.
void add_decompress_op(const Api& api, OrtSessionOptions* options);

}  // namespace lpc
