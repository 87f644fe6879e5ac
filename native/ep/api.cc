#include "ep/api.h"

#include <algorithm>
#include <cstdio>

namespace lpc {
namespace {

const OrtOpAttr* find_attribute(const Api& api, const OrtNode* node, const char* name) {
  const OrtOpAttr* attribute = nullptr;
  OrtStatus* status = api.ort->Node_GetAttributeByName(node, name, &attribute);
  if (status != nullptr) {  // ONNX Runtime says "not found" for an attribute left out
    api.ort->ReleaseStatus(status);
    return nullptr;
  }
  return attribute;
}

template <typename Value>
Value scalar_attribute(const Api& api, const OrtNode* node, const char* name, OrtOpAttrType type, Value missing) {
  const OrtOpAttr* attribute = find_attribute(api, node, name);
  if (attribute == nullptr) return missing;
  Value value{};
  size_t bytes = 0;
  api.check(api.ort->ReadOpAttr(attribute, type, &value, sizeof value, &bytes));
  return value;
}

// Size of a variable-length attribute; the call that asks for it "fails" for want of room.
size_t attribute_bytes(const Api& api, const OrtOpAttr* attribute, OrtOpAttrType type) {
  size_t bytes = 0;
  OrtStatus* status = api.ort->ReadOpAttr(attribute, type, nullptr, 0, &bytes);
  if (status != nullptr) api.ort->ReleaseStatus(status);
  return bytes;
}

}  // namespace

Api::Api(const OrtApiBase* base) {
  ort = base->GetApi(kOrtApiVersion);
  if (ort != nullptr) ep = ort->GetEpApi();
  if (ep == nullptr) {
    throw Error(LPC_UNSUPPORTED,
                std::string("onnxruntime ") + base->GetVersionString() + " is too old: 1.23.1 or newer is needed");
  }
}

void Api::check(OrtStatus* status) const {
  if (status == nullptr) return;
  std::string message = ort->GetErrorMessage(status);
  ort->ReleaseStatus(status);
  throw Error(LPC_INTERNAL, "onnxruntime: " + message);
}

OrtStatus* Api::failure(lpc_status status) const noexcept {
  char message[1200];
  std::snprintf(message, sizeof message, "lpc: %s: %s", lpc_status_name(status), lpc_last_error());
  return ort->CreateStatus(status == LPC_INVALID_ARGUMENT ? ORT_INVALID_ARGUMENT : ORT_EP_FAIL, message);
}

void Api::log(const OrtLogger* logger, OrtLoggingLevel level, const std::string& message) const {
  if (logger == nullptr) return;
  OrtStatus* status = ort->Logger_LogMessage(logger, level, message.c_str(), ORT_FILE, __LINE__, "lpc");
  if (status != nullptr) ort->ReleaseStatus(status);  // a lost log line must not fail a session
}

std::vector<const OrtNode*> graph_nodes(const Api& api, const OrtGraph* graph) {
  size_t count = 0;
  api.check(api.ort->Graph_GetNumNodes(graph, &count));
  std::vector<const OrtNode*> nodes(count);
  if (count > 0) api.check(api.ort->Graph_GetNodes(graph, nodes.data(), count));
  return nodes;
}

std::vector<const OrtValueInfo*> node_inputs(const Api& api, const OrtNode* node) {
  size_t count = 0;
  api.check(api.ort->Node_GetNumInputs(node, &count));
  std::vector<const OrtValueInfo*> values(count);
  if (count > 0) api.check(api.ort->Node_GetInputs(node, values.data(), count));
  return values;
}

std::vector<const OrtValueInfo*> node_outputs(const Api& api, const OrtNode* node) {
  size_t count = 0;
  api.check(api.ort->Node_GetNumOutputs(node, &count));
  std::vector<const OrtValueInfo*> values(count);
  if (count > 0) api.check(api.ort->Node_GetOutputs(node, values.data(), count));
  return values;
}

bool has_output(const Api& api, const OrtNode* node) {
  const auto outputs = node_outputs(api, node);
  return std::any_of(outputs.begin(), outputs.end(),
                     [&](const OrtValueInfo* value) { return value != nullptr && !value_name(api, value).empty(); });
}

std::string node_name(const Api& api, const OrtNode* node) {
  const char* name = nullptr;
  api.check(api.ort->Node_GetName(node, &name));
  return name;
}

bool node_is(const Api& api, const OrtNode* node, const char* domain, const char* op_type) {
  const char* its_type = nullptr;
  const char* its_domain = nullptr;
  api.check(api.ort->Node_GetOperatorType(node, &its_type));
  api.check(api.ort->Node_GetDomain(node, &its_domain));
  return std::string(its_type) == op_type && std::string(its_domain) == domain;
}

std::string value_name(const Api& api, const OrtValueInfo* value) {
  const char* name = nullptr;
  api.check(api.ort->GetValueInfoName(value, &name));
  return name;
}

namespace {

const OrtTensorTypeAndShapeInfo* tensor_info(const Api& api, const OrtValueInfo* value) {
  const OrtTypeInfo* type = nullptr;
  api.check(api.ort->GetValueInfoTypeInfo(value, &type));
  const OrtTensorTypeAndShapeInfo* info = nullptr;
  if (type != nullptr) api.check(api.ort->CastTypeInfoToTensorInfo(type, &info));
  return info;
}

}  // namespace

ONNXTensorElementDataType value_element_type(const Api& api, const OrtValueInfo* value) {
  const OrtTensorTypeAndShapeInfo* info = tensor_info(api, value);
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  if (info != nullptr) api.check(api.ort->GetTensorElementType(info, &type));
  return type;
}

std::vector<int64_t> value_shape(const Api& api, const OrtValueInfo* value) {
  const OrtTensorTypeAndShapeInfo* info = tensor_info(api, value);
  if (info == nullptr) return {-1};
  size_t rank = 0;
  api.check(api.ort->GetDimensionsCount(info, &rank));
  std::vector<int64_t> shape(rank);
  api.check(api.ort->GetDimensions(info, shape.data(), rank));
  return shape;
}

int64_t int_attribute(const Api& api, const OrtNode* node, const char* name, int64_t missing) {
  return scalar_attribute(api, node, name, ORT_OP_ATTR_INT, missing);
}

float float_attribute(const Api& api, const OrtNode* node, const char* name, float missing) {
  return scalar_attribute(api, node, name, ORT_OP_ATTR_FLOAT, missing);
}

std::string string_attribute(const Api& api, const OrtNode* node, const char* name) {
  const OrtOpAttr* attribute = find_attribute(api, node, name);
  if (attribute == nullptr) return "";
  size_t bytes = attribute_bytes(api, attribute, ORT_OP_ATTR_STRING);
  std::string value(bytes, '\0');
  if (bytes > 0) {
    api.check(api.ort->ReadOpAttr(attribute, ORT_OP_ATTR_STRING, value.data(), value.size(), &bytes));
  }
  while (!value.empty() && value.back() == '\0') value.pop_back();
  return value;
}

std::vector<int64_t> ints_attribute(const Api& api, const OrtNode* node, const char* name) {
  const OrtOpAttr* attribute = find_attribute(api, node, name);
  if (attribute == nullptr) return {};
  size_t bytes = attribute_bytes(api, attribute, ORT_OP_ATTR_INTS);
  std::vector<int64_t> values(bytes / sizeof(int64_t));
  if (bytes > 0) api.check(api.ort->ReadOpAttr(attribute, ORT_OP_ATTR_INTS, values.data(), bytes, &bytes));
  return values;
}

void Shape::append(int64_t extent) {
  if (rank == kMaxRank) throw Error(LPC_INVALID_ARGUMENT, "a tensor has more than 8 dimensions");
  extents[rank++] = extent;
}

size_t Shape::elements() const {
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) count *= static_cast<size_t>(extents[i]);
  return count;
}

TensorView input_tensor(const Api& api, const OrtKernelContext* context, size_t index) {
  const OrtValue* value = nullptr;
  api.check(api.ort->KernelContext_GetInput(context, index, &value));
  if (value == nullptr) throw Error(LPC_INTERNAL, "input " + std::to_string(index) + " is missing");
  TensorView view;
  OrtTensorTypeAndShapeInfo* info = nullptr;
  api.check(api.ort->GetTensorTypeAndShape(value, &info));
  OrtStatus* status = api.ort->GetDimensionsCount(info, &view.shape.rank);
  const bool fits = view.shape.rank <= Shape::kMaxRank;
  if (status == nullptr && fits) status = api.ort->GetDimensions(info, view.shape.extents, view.shape.rank);
  if (status == nullptr) status = api.ort->GetTensorElementType(info, &view.element_type);
  api.ort->ReleaseTensorTypeAndShapeInfo(info);
  api.check(status);
  if (!fits) throw Error(LPC_INVALID_ARGUMENT, "a tensor has more than 8 dimensions");
  api.check(api.ort->GetTensorData(value, &view.data));
  return view;
}

void* output_tensor(const Api& api, OrtKernelContext* context, size_t index, const Shape& shape) {
  OrtValue* value = nullptr;
  api.check(api.ort->KernelContext_GetOutput(context, index, shape.extents, shape.rank, &value));
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  api.check(api.ort->GetTensorMutableData(value, &data));
  return data;
}

}  // namespace lpc
