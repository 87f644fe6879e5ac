// The ONNX Runtime entry tables and the fence between our exceptions and its status objects.
//
// The tables are passed along, never kept in a global: one process may hold two ONNX Runtimes (onnxruntime and
// onnxruntime-genai bring one each), and this library serves both.
#pragma once

// The headers offer inline C++ wrappers that need a global table; only the C interface is used here.
#include <onnxruntime_c_api.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lpc {

// The ONNX Runtime API that this library is written against: 1.23.
inline constexpr uint32_t kOrtApiVersion = 23;
inline constexpr const char* kProviderName = "LpcExecutionProvider";
inline constexpr const char* kDomain = "lpc";
inline constexpr const char* kDecompress = "Decompress";
inline constexpr int64_t kOperatorVersion = 1;  // of the domain; docs/compatibility.md

struct Api {
  const OrtApi* ort = nullptr;
  const OrtEpApi* ep = nullptr;

  // Throws LPC_UNSUPPORTED when this ONNX Runtime is older than 1.23.
  explicit Api(const OrtApiBase* base);
  Api(const OrtApi* ort_api, const OrtEpApi* ep_api) : ort(ort_api), ep(ep_api) {}

  // Throws Error with the message of a status that is not OK, and releases it.
  void check(OrtStatus* status) const;

  // Runs `body`; whatever it throws becomes a status. Messages begin with "lpc: " so that callers can tell them.
  template <typename Body>
  OrtStatus* guard(Body&& body) const noexcept {
    const lpc_status status = guarded(std::forward<Body>(body));
    return status == LPC_OK ? nullptr : failure(status);
  }

  void log(const OrtLogger* logger, OrtLoggingLevel level, const std::string& message) const;

 private:
  OrtStatus* failure(lpc_status status) const noexcept;
};

// ---- reading the graph ----------------------------------------------------------------------------------------

std::vector<const OrtNode*> graph_nodes(const Api& api, const OrtGraph* graph);
std::vector<const OrtValueInfo*> node_inputs(const Api& api, const OrtNode* node);   // nullptr: an omitted input
std::vector<const OrtValueInfo*> node_outputs(const Api& api, const OrtNode* node);  // nullptr: an unused output
bool has_output(const Api& api, const OrtNode* node);                                // one that is used
std::string node_name(const Api& api, const OrtNode* node);
bool node_is(const Api& api, const OrtNode* node, const char* domain, const char* op_type);
std::string value_name(const Api& api, const OrtValueInfo* value);
ONNXTensorElementDataType value_element_type(const Api& api, const OrtValueInfo* value);
std::vector<int64_t> value_shape(const Api& api, const OrtValueInfo* value);  // -1: an unknown extent

int64_t int_attribute(const Api& api, const OrtNode* node, const char* name, int64_t missing);
float float_attribute(const Api& api, const OrtNode* node, const char* name, float missing);
std::string string_attribute(const Api& api, const OrtNode* node, const char* name);
std::vector<int64_t> ints_attribute(const Api& api, const OrtNode* node, const char* name);

// ---- running ---------------------------------------------------------------------------------------------------

// A shape without heap memory: tensors are viewed in every call of every node.
struct Shape {
  static constexpr size_t kMaxRank = 8;
  int64_t extents[kMaxRank] = {};
  size_t rank = 0;

  void append(int64_t extent);
  size_t elements() const;
};

struct TensorView {
  const void* data = nullptr;
  ONNXTensorElementDataType element_type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  Shape shape;
};

TensorView input_tensor(const Api& api, const OrtKernelContext* context, size_t index);
// nullptr for an output that nobody uses.
void* output_tensor(const Api& api, OrtKernelContext* context, size_t index, const Shape& shape);

}  // namespace lpc
