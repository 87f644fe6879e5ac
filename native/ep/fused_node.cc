#include "ep/fused_node.h"

namespace lpc {

FusedNode::FusedNode(const Api& api) : OrtNodeComputeInfo{}, api_(api) {
  ort_version_supported = kOrtApiVersion;
  CreateState = create_state;
  Compute = compute;
  ReleaseState = release_state;
}

OrtStatus* ORT_API_CALL FusedNode::create_state(OrtNodeComputeInfo* self, OrtNodeComputeContext*,
                                                void** state) noexcept {
  *state = self;  // everything that a call needs lives in the node
  return nullptr;
}

OrtStatus* ORT_API_CALL FusedNode::compute(OrtNodeComputeInfo* self, void*, OrtKernelContext* context) noexcept {
  auto* node = static_cast<FusedNode*>(self);
  return node->api_.guard([&] { node->compute(context); });
}

void ORT_API_CALL FusedNode::release_state(OrtNodeComputeInfo*, void*) noexcept {}

size_t fused_input(const Api& api, const OrtNode* fused, const OrtNode* consumer, size_t consumer_input) {
  const std::string name = value_name(api, node_inputs(api, consumer).at(consumer_input));
  const auto inputs = node_inputs(api, fused);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] != nullptr && value_name(api, inputs[i]) == name) return i;
  }
  throw Error(LPC_INTERNAL, "fused node " + node_name(api, fused) + " has no input " + name);
}

void require_matrix(const StoredBlob& blob, const BlobPlace& place) {
  const lpc_tensor_desc& tensor = blob.header().tensor;
  const bool same_shape = tensor.rank == 2 && static_cast<int64_t>(tensor.shape[0]) == place.shape.at(0) &&
                          static_cast<int64_t>(tensor.shape[1]) == place.shape.at(1);
  if (!same_shape) {
    throw Error(LPC_FORMAT_ERROR, place.file + ": tensor " + place.tensor + ": the blob at offset " +
                                      std::to_string(place.offset) + " has another shape than the graph says, " +
                                      std::to_string(place.shape.at(0)) + " x " + std::to_string(place.shape.at(1)) +
                                      ": model.onnx and the weight file do not belong together");
  }
  if (tensor.dtype > LPC_DTYPE_INT8) {
    throw Error(LPC_UNSUPPORTED, place.file + ": tensor " + place.tensor + ": dtype " + std::to_string(tensor.dtype) +
                                     " has no product; expected bf16, fp16, fp32 or int8");
  }
}

}  // namespace lpc
