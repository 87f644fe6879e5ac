#include "codecs/tensor.h"

#include "codecs/layout.h"

namespace lpc {
namespace {

[[noreturn]] void throw_desc(DescSource source, const std::string& name, size_t offset, uint64_t got,
                             const std::string& expected) {
  if (source == DescSource::kBlob) throw_field(LPC_FORMAT_ERROR, name, offset, std::to_string(got), expected);
  throw Error(LPC_INVALID_ARGUMENT, name + ": got " + std::to_string(got) + ", expected " + expected);
}

[[noreturn]] void throw_shape(DescSource source, uint32_t axis, uint64_t got, const std::string& expected) {
  throw_desc(source, "shape[" + std::to_string(axis) + "]", field::kShape.offset + 8 * axis, got, expected);
}

// Product of the extents from axis 1 and the element size.
uint64_t checked_row_bytes(const lpc_tensor_desc& tensor, DescSource source) {
  for (uint32_t axis = 1; axis < tensor.rank; ++axis) {
    if (tensor.shape[axis] == 0) return 0;
  }
  uint64_t bytes = dtype_bytes(tensor.dtype);
  for (uint32_t axis = 1; axis < tensor.rank; ++axis) {
    if (tensor.shape[axis] > kMaxSegmentBytes / bytes) {
      throw_shape(source, axis, tensor.shape[axis], "a row of at most 2147483647 bytes");
    }
    bytes *= tensor.shape[axis];
  }
  return bytes;
}

}  // namespace

const char* dtype_name(uint32_t dtype) {
  switch (dtype) {
    case LPC_DTYPE_BF16: return "bf16";
    case LPC_DTYPE_FP16: return "fp16";
    case LPC_DTYPE_FP32: return "fp32";
    case LPC_DTYPE_INT8: return "int8";
    case LPC_DTYPE_UINT8: return "uint8";
    case LPC_DTYPE_FP8_E4M3: return "fp8_e4m3";
    case LPC_DTYPE_FP8_E5M2: return "fp8_e5m2";
    default: return "unknown";
  }
}

size_t dtype_bytes(uint32_t dtype) {
  switch (dtype) {
    case LPC_DTYPE_FP32: return 4;
    case LPC_DTYPE_BF16:
    case LPC_DTYPE_FP16: return 2;
    case LPC_DTYPE_INT8:
    case LPC_DTYPE_UINT8:
    case LPC_DTYPE_FP8_E4M3:
    case LPC_DTYPE_FP8_E5M2: return 1;
    default: break;
  }
  throw Error(LPC_UNSUPPORTED, "dtype: got " + std::to_string(dtype) + ", expected 1 to 7");
}

TensorRows tensor_rows(const lpc_tensor_desc& tensor, DescSource source) {
  dtype_bytes(tensor.dtype);  // throws if unknown
  if (tensor.rank > LPC_MAX_RANK) throw_desc(source, "rank", field::kRank.offset, tensor.rank, "at most 4");
  for (uint32_t axis = 0; axis < LPC_MAX_RANK; ++axis) {
    const uint64_t extent = tensor.shape[axis];
    if (axis >= tensor.rank && extent != 0) throw_shape(source, axis, extent, "0 beyond the rank");
    if (extent > kMaxTensorBytes) throw_shape(source, axis, extent, "less than 2^63");
  }
  const TensorRows result{tensor.rank == 0 ? 1 : tensor.shape[0], checked_row_bytes(tensor, source)};
  if (result.row_bytes != 0 && result.rows > kMaxTensorBytes / result.row_bytes) {
    throw_shape(source, 0, result.rows, "a tensor of less than 2^63 bytes");
  }
  return result;
}

}  // namespace lpc
