#include "ep/claim.h"

#include <algorithm>

#include "ep/dequantize.h"
#include "ep/external_data.h"

namespace lpc {
namespace {

struct Consumer {
  const OrtNode* node = nullptr;
  int64_t input = -1;
};

std::vector<Consumer> consumers_of(const Api& api, const OrtValueInfo* value) {
  size_t count = 0;
  api.check(api.ort->ValueInfo_GetValueNumConsumers(value, &count));
  std::vector<const OrtNode*> nodes(count);
  std::vector<int64_t> inputs(count);
  if (count > 0) api.check(api.ort->ValueInfo_GetValueConsumers(value, nodes.data(), inputs.data(), count));
  std::vector<Consumer> consumers(count);
  for (size_t i = 0; i < count; ++i) consumers[i] = {nodes[i], inputs[i]};
  return consumers;
}

bool is_constant(const Api& api, const OrtValueInfo* value) {
  bool constant = false;
  api.check(api.ort->ValueInfo_IsConstantInitializer(value, &constant));
  return constant;
}

bool takes_value_from_outside(const Api& api, const OrtNode* node) {
  const auto inputs = node_inputs(api, node);
  return std::any_of(inputs.begin(), inputs.end(), [&](const OrtValueInfo* value) {
    bool outside = false;
    if (value != nullptr) api.check(api.ort->ValueInfo_IsFromOuterScope(value, &outside));
    return outside;
  });
}

// The products of a pass are computed once each, in one order. ONNX Runtime 1.23 does not tell of the parent.
bool is_body(const Api& api, const OrtGraph* graph) {
  const OrtNode* parent = nullptr;
  api.check(api.ort->Graph_GetParentNode(graph, &parent));
  const auto nodes = graph_nodes(api, graph);
  return parent != nullptr || std::any_of(nodes.begin(), nodes.end(),
                                          [&](const OrtNode* node) { return takes_value_from_outside(api, node); });
}

bool is_external_constant(const Api& api, const OrtValueInfo* value) {
  return is_constant(api, value) && external_data(api, value).has_value();
}

// "" when the consumer can be computed here; else the reason why not.
std::string consumer_refusal(const Api& api, const Consumer& consumer, ConsumerKind& kind) {
  const OrtNode* node = consumer.node;
  const auto inputs = node_inputs(api, node);
  if (node_is(api, node, "", "Gather")) {
    kind = ConsumerKind::kGather;
    if (consumer.input != 0) return "it feeds the indices of a Gather";
    if (is_constant(api, inputs.at(1))) return "the indices of its Gather are a constant";
    return int_attribute(api, node, "axis", 0) == 0 ? "" : "its Gather has an axis other than 0";
  }
  const bool matmul = node_is(api, node, "", "MatMul");
  if (!matmul && !node_is(api, node, "", "Gemm")) return "its consumer is no MatMul, Gemm or Gather";
  kind = matmul ? ConsumerKind::kMatMul : ConsumerKind::kGemm;
  if (consumer.input != 1) return "it is not the second factor of its product";
  if (is_constant(api, inputs.at(0))) return "its activations are a constant";
  if (value_element_type(api, inputs[0]) != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) return "activations are not float32";
  if (!matmul && int_attribute(api, node, "transA", 0) != 0) return "its Gemm has transA";
  return "";
}

// Finds the one consumer of a node's output; "", or the reason why there is none.
std::string only_consumer(const Api& api, const OrtNode* node, Consumer& consumer) {
  if (!has_output(api, node)) return "nobody uses its weight";
  const OrtValueInfo* output = node_outputs(api, node)[0];
  bool is_output = false;
  api.check(api.ort->ValueInfo_IsGraphOutput(output, &is_output));
  if (is_output) return "its weight is an output of the graph";
  const auto consumers = consumers_of(api, output);
  if (consumers.size() != 1) return "its weight has " + std::to_string(consumers.size()) + " consumers, expected 1";
  consumer = consumers[0];
  return "";
}

// Steps over the DequantizeLinear of an int8 weight.
std::string dequantize_step(const Api& api, const OrtNode* decompress, Pair& pair, Consumer& consumer) {
  if (!node_is(api, consumer.node, "", "DequantizeLinear") || consumer.input != 0) {
    return "it is wanted as int8, not as float32";
  }
  pair.dequantize = consumer.node;
  const auto shape = ints_attribute(api, decompress, "shape");
  const bool transposed = int_attribute(api, decompress, "transpose", 0) != 0;
  const std::string reason = dequantize_refusal(api, pair.dequantize, transposed, shape[0], shape[1]);
  const auto scale = external_data(api, node_inputs(api, pair.dequantize)[1]);
  if (scale && scale->file != external_data(api, node_inputs(api, decompress)[0])->file) {
    return "its scales lie in another file";
  }
  return reason.empty() ? only_consumer(api, pair.dequantize, consumer) : reason;
}

std::string refusal(const Api& api, const OrtNode* decompress, Pair& pair) {
  Consumer consumer;
  std::string reason = only_consumer(api, decompress, consumer);
  if (!reason.empty()) return reason;
  if (!is_external_constant(api, node_inputs(api, decompress)[0])) return "its blob is not external data";
  if (ints_attribute(api, decompress, "shape").size() != 2) return "its weight is not a matrix";
  pair.decompress = decompress;
  const std::string to = string_attribute(api, decompress, "to");
  if (to == "int8") {
    reason = dequantize_step(api, decompress, pair, consumer);
    if (!reason.empty()) return reason;
  } else if (!to.empty() && to != "float32") {
    return "it is wanted as " + to + ", not as float32";
  }
  pair.consumer = consumer.node;
  reason = consumer_refusal(api, consumer, pair.kind);
  if (!reason.empty()) return reason;
  const bool transposed = int_attribute(api, decompress, "transpose", 0) != 0;
  if (pair.kind == ConsumerKind::kGather) return transposed ? "a Gather of a transposed weight" : "";
  const bool trans_b = pair.kind == ConsumerKind::kGemm && int_attribute(api, pair.consumer, "transB", 0) != 0;
  if (pair.dequantize != nullptr && transposed == trans_b) return "its scales are not those of its product's outputs";
  return "";
}

}  // namespace

std::vector<const OrtNode*> Pair::nodes() const {
  if (dequantize == nullptr) return {decompress, consumer};
  return {decompress, dequantize, consumer};
}

Claims find_claims(const Api& api, const OrtGraph* graph) {
  Claims claims;
  claims.in_body = is_body(api, graph);
  for (const OrtNode* node : graph_nodes(api, graph)) {
    if (!node_is(api, node, kDomain, kDecompress)) continue;
    Pair pair;
    const std::string reason = claims.in_body ? "it is in the body of an If, Loop or Scan" : refusal(api, node, pair);
    if (reason.empty()) {
      claims.pairs.push_back(pair);
    } else {
      claims.refusals.push_back(string_attribute(api, node, "tensor") + " (node " + node_name(api, node) +
                                "): " + reason);
    }
  }
  return claims;
}

Pair fused_pair(const Api& api, const OrtGraph* graph) {
  Pair pair;
  for (const OrtNode* node : graph_nodes(api, graph)) {
    if (node_is(api, node, kDomain, kDecompress)) {
      pair.decompress = node;
    } else if (node_is(api, node, "", "DequantizeLinear")) {
      pair.dequantize = node;
    } else {
      pair.consumer = node;
      pair.kind = node_is(api, node, "", "Gather")   ? ConsumerKind::kGather
                  : node_is(api, node, "", "MatMul") ? ConsumerKind::kMatMul
                                                     : ConsumerKind::kGemm;
    }
  }
  if (pair.decompress == nullptr || pair.consumer == nullptr) {
    throw Error(LPC_INTERNAL, "a fused graph without a Decompress and its consumer");
  }
  return pair;
}

}  // namespace lpc
