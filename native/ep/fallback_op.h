// lpc::Decompress as a plain CPU operator: decodes the whole weight at every call. It lets any ONNX Runtime run an
// exported model; the provider replaces it wherever it can.
#pragma once

#include "ep/api.h"

namespace lpc {

// The `lpc` domain with Decompress for one ONNX Runtime. It lives until the process ends.
OrtCustomOpDomain* decompress_domain(const Api& api);

// Adds the domain to the session's options.
void add_decompress_op(const Api& api, OrtSessionOptions* options);

}  // namespace lpc
