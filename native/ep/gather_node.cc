#include "ep/gather_node.h"

#include <algorithm>

#include "ep/dequantize.h"
#include "simd/dot/dot.h"
#include "simd/dot/dot_int8.h"

namespace lpc {

GatherNode::GatherNode(const Api& api, const Pair& pair, const OrtNode* fused, const BlobPlace& place,
                       std::shared_ptr<const StoredBlob> blob, std::shared_ptr<Observer> observer)
    : FusedNode(api), blob_(std::move(blob)), observer_(std::move(observer)) {
  require_matrix(*blob_, place);
  indices_input_ = fused_input(api, fused, pair.consumer, 1);
  if (pair.dequantize != nullptr) scales_ = read_scales(api, pair.dequantize, place, *blob_);
  blob_->reserve(buffers_);
  const BlobHeader& header = blob_->header();
  if (!header.segments.empty()) decoded_.resize(header.segment_decoded_bytes(0));
}

void GatherNode::compute(OrtKernelContext* context) {
  const TensorView indices = input_tensor(api_, context, indices_input_);
  Shape shape = indices.shape;
  shape.append(static_cast<int64_t>(blob_->header().tensor.shape[1]));
  auto* out = static_cast<float*>(output_tensor(api_, context, 0, shape));
  const std::lock_guard lock(mutex_);
  fetch(indices, out);
}

int64_t GatherNode::checked_row(const TensorView& indices, size_t position) const {
  const int64_t index = indices.element_type == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
                            ? static_cast<const int32_t*>(indices.data)[position]
                            : static_cast<const int64_t*>(indices.data)[position];
  const auto rows = static_cast<int64_t>(blob_->header().rows);
  if (index < -rows || index >= rows) {
    throw Error(LPC_INVALID_ARGUMENT, "tensor " + blob_->tensor() + ": index " + std::to_string(index) +
                                          " at position " + std::to_string(position) + ", expected -" +
                                          std::to_string(rows) + " to " + std::to_string(rows - 1));
  }
  return index < 0 ? index + rows : index;
}

void GatherNode::fetch(const TensorView& indices, float* out) {
  const BlobHeader& header = blob_->header();
  const size_t columns = header.tensor.shape[1];
  order_.clear();
  for (size_t i = 0; i < indices.shape.elements(); ++i) {
    order_.emplace_back(static_cast<uint64_t>(checked_row(indices, i)), i);
  }
  std::sort(order_.begin(), order_.end());
  if (columns == 0) return;
  for (const auto& [row, position] : order_) {
    const size_t index = row / header.rows_per_segment;
    const uint8_t* data = segment(index) + (row - header.segment_first_row(index)) * header.row_bytes;
    widen(data, row, out + position * columns);
  }
  observer_->statistics.rows_fetched += order_.size();
}

void GatherNode::widen(const uint8_t* row_data, uint64_t row, float* out) const {
  const lpc_tensor_desc& tensor = blob_->header().tensor;
  const size_t columns = tensor.shape[1];
  if (scales_.values.empty()) return dot_kernels().widen(tensor.dtype, row_data, columns, out);
  const float* scales = scales_.values.data() + row * scales_.groups(columns);
  int8_kernels().dequantize({reinterpret_cast<const int8_t*>(row_data), scales, columns, scales_.group}, 0, out);
}

const uint8_t* GatherNode::segment(size_t index) {
  if (index != decoded_segment_) {
    decoded_segment_ = SIZE_MAX;  // until the new one is whole
    const size_t bytes = blob_->header().segment_decoded_bytes(index);
    buffers_.give_up = observer_->cancel;
    const Bytes stored = blob_->fetch(index, buffers_, *observer_);
    blob_->decode(index, stored, MutableBytes(decoded_).first(bytes), buffers_, *observer_);
    decoded_segment_ = index;
  }
  return decoded_.data();
}

}  // namespace lpc
