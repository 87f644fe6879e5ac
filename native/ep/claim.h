// Which nodes the provider takes: a Decompress together with the one consumer of its weight, and the DequantizeLinear
// between them if there is one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ep/api.h"

namespace lpc {

enum class ConsumerKind { kMatMul, kGemm, kGather };

// A Decompress node and its consumer.
struct Pair {
  const OrtNode* decompress = nullptr;
  const OrtNode* dequantize = nullptr;  // of an int8 weight
  const OrtNode* consumer = nullptr;
  ConsumerKind kind = ConsumerKind::kMatMul;

  std::vector<const OrtNode*> nodes() const;
};

struct Claims {
  std::vector<Pair> pairs;
  std::vector<std::string> refusals;  // one line for each Decompress node left alone: name and reason
  bool in_body = false;               // of an If, Loop or Scan, where nothing is claimed
};

Claims find_claims(const Api& api, const OrtGraph* graph);

// The pair inside a graph that was fused from one; throws LPC_INTERNAL when it holds something else.
Pair fused_pair(const Api& api, const OrtGraph* graph);

}  // namespace lpc
