// A claimed pair of nodes as ONNX Runtime calls it.
#pragma once

#include <memory>

#include "ep/blob_place.h"
#include "store/stored_blob.h"

namespace lpc {

class FusedNode : public OrtNodeComputeInfo {
 public:
  virtual ~FusedNode() = default;
  FusedNode(const FusedNode&) = delete;
  FusedNode& operator=(const FusedNode&) = delete;

 protected:
  explicit FusedNode(const Api& api);
  virtual void compute(OrtKernelContext* context) = 0;

  const Api api_;

 private:
  static OrtStatus* ORT_API_CALL create_state(OrtNodeComputeInfo* self, OrtNodeComputeContext* context,
                                              void** state) noexcept;
  static OrtStatus* ORT_API_CALL compute(OrtNodeComputeInfo* self, void* state, OrtKernelContext* context) noexcept;
  static void ORT_API_CALL release_state(OrtNodeComputeInfo* self, void* state) noexcept;
};

// A pair whose result nobody uses: nothing is read and nothing computed.
class UnusedNode : public FusedNode {
 public:
  explicit UnusedNode(const Api& api) : FusedNode(api) {}

 private:
  void compute(OrtKernelContext*) override {}
};

// Index among the fused node's inputs of the value that the consumer takes as input `consumer_input`.
size_t fused_input(const Api& api, const OrtNode* fused, const OrtNode* consumer, size_t consumer_input);

// Throws LPC_FORMAT_ERROR when the blob is not the matrix that the graph says it is, or of a dtype without products.
void require_matrix(const StoredBlob& blob, const BlobPlace& place);

}  // namespace lpc
