#include "ep/dequantize.h"

#include <algorithm>

#include "codecs/tensor.h"
#include "store/stored_blob.h"

namespace lpc {
namespace {

// How the scale's elements lie: one for all; one a stored row; or [rows, groups], or its transpose, by groups of
// `group` columns.
struct Layout {
  enum class Kind { kRefused, kTensor, kRow, kGroup } kind = Kind::kRefused;
  size_t group = 0;
};

Layout layout_of(const Api& api, const OrtNode* dequantize, bool transposed, int64_t rows, int64_t columns) {
  const auto shape = value_shape(api, node_inputs(api, dequantize)[1]);
  int64_t axis = int_attribute(api, dequantize, "axis", 1);
  if (axis < 0) axis += 2;
  const int64_t row_axis = transposed ? 1 : 0;
  const int64_t block = int_attribute(api, dequantize, "block_size", 0);
  const auto whole_row = static_cast<size_t>(std::max<int64_t>(columns, 1));
  if (block == 0 && (shape.empty() || shape == std::vector<int64_t>{1})) return {Layout::Kind::kTensor, whole_row};
  if (block == 0 && shape == std::vector<int64_t>{rows} && axis == row_axis) return {Layout::Kind::kRow, whole_row};
  if (block <= 0 || axis == row_axis) return {};
  const int64_t groups = (columns + block - 1) / block;
  const std::vector<int64_t> expected = transposed ? std::vector{groups, rows} : std::vector{rows, groups};
  if (shape != expected) return {};
  return {Layout::Kind::kGroup, static_cast<size_t>(block)};
}

std::vector<float> inline_values(const Api& api, const OrtValueInfo* scale) {
  const OrtValue* value = nullptr;
  api.check(api.ort->ValueInfo_GetInitializerValue(scale, &value));
  OrtTensorTypeAndShapeInfo* info = nullptr;
  api.check(api.ort->GetTensorTypeAndShape(value, &info));
  size_t count = 0;
  OrtStatus* status = api.ort->GetTensorShapeElementCount(info, &count);
  api.ort->ReleaseTensorTypeAndShapeInfo(info);
  api.check(status);
  const void* data = nullptr;
  api.check(api.ort->GetTensorData(value, &data));
  const auto* values = static_cast<const float*>(data);
  return {values, values + count};
}

// Scales in the weight file are read, not mapped, as the weights are.
std::vector<float> scale_values(const Api& api, const OrtValueInfo* scale, const WeightFile& file) {
  OrtExternalInitializerInfo* info = nullptr;
  api.check(api.ort->ValueInfo_GetExternalInitializerInfo(scale, &info));
  if (info == nullptr) return inline_values(api, scale);
  const auto offset = static_cast<uint64_t>(api.ort->ExternalInitializerInfo_GetFileOffset(info));
  const size_t bytes = api.ort->ExternalInitializerInfo_GetByteSize(info);
  api.ort->ReleaseExternalInitializerInfo(info);
  if (offset > file.size_bytes() || bytes > file.size_bytes() - offset) {
    throw Error(LPC_FORMAT_ERROR, file.path() + ": scales " + value_name(api, scale) + ": " + std::to_string(bytes) +
                                      " bytes at offset " + std::to_string(offset) +
                                      " are beyond the file's end: it is truncated; copy or export it again");
  }
  std::vector<float> values(bytes / sizeof(float));
  file.read(offset, reinterpret_cast<uint8_t*>(values.data()), values.size() * sizeof(float));
  return values;
}

std::vector<float> transposed_to_rows(const std::vector<float>& values, size_t rows, size_t groups) {
  std::vector<float> by_row(values.size());
  for (size_t g = 0; g < groups; ++g) {
    for (size_t r = 0; r < rows; ++r) by_row[r * groups + g] = values[g * rows + r];
  }
  return by_row;
}

}  // namespace

std::string dequantize_refusal(const Api& api, const OrtNode* dequantize, bool transposed, int64_t rows,
                               int64_t columns) {
  const auto inputs = node_inputs(api, dequantize);
  if (inputs.size() > 2 && inputs[2] != nullptr) return "its DequantizeLinear has a zero point";
  bool constant = false;
  api.check(api.ort->ValueInfo_IsConstantInitializer(inputs[1], &constant));
  if (!constant) return "its DequantizeLinear has a scale that is no constant";
  if (value_element_type(api, inputs[1]) != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) return "its scale is not float32";
  const bool known = layout_of(api, dequantize, transposed, rows, columns).kind != Layout::Kind::kRefused;
  return known ? "" : "its scales are neither one a tensor, nor by rows, nor by groups of columns";
}

RowScales read_scales(const Api& api, const OrtNode* dequantize, const BlobPlace& place, const StoredBlob& blob) {
  if (blob.header().tensor.dtype != LPC_DTYPE_INT8) {
    throw Error(LPC_FORMAT_ERROR, blob.file().path() + ": tensor " + place.tensor + ": got dtype " +
                                      dtype_name(blob.header().tensor.dtype) + ", expected int8 as the graph says");
  }
  const int64_t rows = place.shape.at(0), columns = place.shape.at(1);
  const Layout layout = layout_of(api, dequantize, place.transpose, rows, columns);
  RowScales scales{scale_values(api, node_inputs(api, dequantize)[1], blob.file()), layout.group};
  const auto count = static_cast<size_t>(rows);
  const size_t groups = scales.groups(static_cast<size_t>(columns));
  const size_t expected = layout.kind == Layout::Kind::kTensor ? 1 : count * groups;
  if (scales.values.size() != expected) {
    throw Error(LPC_FORMAT_ERROR, "tensor " + place.tensor + ": got " + std::to_string(scales.values.size()) +
                                      " scales, expected " + std::to_string(expected));
  }
  if (layout.kind == Layout::Kind::kTensor) scales.values.assign(count, scales.values[0]);
  if (layout.kind == Layout::Kind::kGroup && place.transpose) {
    scales.values = transposed_to_rows(scales.values, count, groups);
  }
  return scales;
}

}  // namespace lpc
