#include "ep/product_node.h"

#include <algorithm>

#include "ep/dequantize.h"
#include "matmul/pool_loop.h"
#include "matmul/registry.h"

namespace lpc {
namespace {

// Holds a decoded part for the length of a scope.
class Acquired {
 public:
  Acquired(LayerStore& store, size_t index) : store_(store), index_(index), data_(store.acquire(index)) {}
  ~Acquired() { store_.release(index_); }
  Acquired(const Acquired&) = delete;
  Acquired& operator=(const Acquired&) = delete;
  const uint8_t* data() const { return data_; }

 private:
  LayerStore& store_;
  size_t index_;
  const uint8_t* data_;
};

struct OrtLoop {
  const Api& api;
  const OrtKernelContext* context;

  static void run(void* self, void (*body)(void*, size_t), size_t count, void* user) {
    const auto& loop = *static_cast<OrtLoop*>(self);
    loop.api.check(loop.api.ort->KernelContext_ParallelFor(loop.context, body, count, 0, user));
  }
};

// Extent of C along one axis of y, counted from the right; 1 where C has no such axis.
size_t extent_from_right(const Shape& shape, size_t axis) {
  return axis < shape.rank ? static_cast<size_t>(shape.extents[shape.rank - 1 - axis]) : 1;
}

}  // namespace

ProductNode::ProductNode(const Api& api, const Pair& pair, const OrtNode* fused, const BlobPlace& place,
                         std::shared_ptr<const StoredBlob> blob)
    : FusedNode(api), blob_(std::move(blob)), gemm_(pair.kind == ConsumerKind::kGemm) {
  require_matrix(*blob_, place);
  const bool trans_b = gemm_ && int_attribute(api, pair.consumer, "transB", 0) != 0;
  rows_are_outputs_ = place.transpose != trans_b;
  x_input_ = fused_input(api, fused, pair.consumer, 0);
  if (pair.dequantize != nullptr) scales_ = read_scales(api, pair.dequantize, place, *blob_);
  if (!gemm_) return;
  alpha_ = float_attribute(api, pair.consumer, "alpha", 1.0f);
  beta_ = float_attribute(api, pair.consumer, "beta", 1.0f);
  const auto inputs = node_inputs(api, pair.consumer);
  has_c_ = inputs.size() > 2 && inputs[2] != nullptr && beta_ != 0.0f;
  if (!has_c_) return;
  bool constant = false;
  api.check(api.ort->ValueInfo_IsConstantInitializer(inputs[2], &constant));
  if (constant) {
    keep_constant_c(inputs[2]);
  } else {
    c_input_ = fused_input(api, fused, pair.consumer, 2);
  }
}

void ProductNode::attach(LayerStore* store, const Schedule* schedule, size_t index_of_blob, Observer* observer,
                         unsigned threads) {
  store_ = store;
  schedule_ = schedule;
  index_ = index_of_blob;
  observer_ = observer;
  threads_ = threads;
  opened_ = std::vector<OpenPart>(schedule->first_part(index_ + 1) - schedule->first_part(index_));
}

void ProductNode::compute(OrtKernelContext* context) {
  const lpc_tensor_desc& tensor = blob_->header().tensor;
  const size_t inputs = rows_are_outputs_ ? tensor.shape[1] : tensor.shape[0];
  const size_t outputs = rows_are_outputs_ ? tensor.shape[0] : tensor.shape[1];
  const TensorView x = input_tensor(api_, context, x_input_);
  if (x.shape.rank == 0 || static_cast<size_t>(x.shape.extents[x.shape.rank - 1]) != inputs) {
    throw Error(LPC_INVALID_ARGUMENT, "tensor " + blob_->tensor() + ": the activation's last extent is " +
                                          std::to_string(x.shape.rank ? x.shape.extents[x.shape.rank - 1] : 0) +
                                          ", expected " + std::to_string(inputs));
  }
  Shape y_shape = x.shape;
  y_shape.extents[y_shape.rank - 1] = static_cast<int64_t>(outputs);
  Shape rows = x.shape;
  --rows.rank;
  const size_t m = rows.elements();
  auto* y = static_cast<float*>(output_tensor(api_, context, 0, y_shape));
  if (inputs == 0) std::fill_n(y, m * outputs, 0.0f);  // sums of nothing
  for (size_t part = schedule_->first_part(index_); part < schedule_->first_part(index_ + 1); ++part) {
    multiply_part(part, static_cast<const float*>(x.data), m, y, context);
  }
  if (gemm_) finish_gemm(context, y, m, outputs);
}

void ProductNode::multiply_part(size_t index, const float* x, size_t m, float* y, OrtKernelContext* context) {
  const Acquired weight(*store_, index);
  const auto begin = Clock::now();
  OrtLoop session{api_, context};
  PoolLoop own{threads_};
  const Loop loop = threads_ == 0 ? Loop{OrtLoop::run, &session} : own.loop();
  matrix_of(index, weight.data()).multiply({x, m, y, rows_are_outputs_}, loop);
  observer_->record(observer_->statistics.compute_ns, "compute", blob_->layer(), begin);
}

const Matrix& ProductNode::matrix_of(size_t index, const uint8_t* data) {
  OpenPart& opened = opened_[index - schedule_->first_part(index_)];
  if (opened.data == data && opened.matrix != nullptr) return *opened.matrix;
  if (opened.matrix == nullptr) {
    const Part& part = schedule_->part(index);
    opened.matrix = open_matrix(
        {part.header(), part.form(), part.first_segment, part.segment_count, Bytes(data, part.bytes()), scales_});
  } else {
    opened.matrix->rebase(data);
  }
  opened.data = data;
  return *opened.matrix;
}

void ProductNode::keep_constant_c(const OrtValueInfo* c) {
  if (value_element_type(api_, c) != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
    throw Error(LPC_UNSUPPORTED, "tensor " + blob_->tensor() + ": its Gemm's C is not float32");
  }
  const OrtValue* value = nullptr;
  api_.check(api_.ort->ValueInfo_GetInitializerValue(c, &value));
  OrtTensorTypeAndShapeInfo* info = nullptr;
  api_.check(api_.ort->GetTensorTypeAndShape(value, &info));
  size_t rank = 0;
  OrtStatus* status = api_.ort->GetDimensionsCount(info, &rank);
  std::vector<int64_t> extents(rank);
  if (status == nullptr) status = api_.ort->GetDimensions(info, extents.data(), rank);
  api_.ort->ReleaseTensorTypeAndShapeInfo(info);
  api_.check(status);
  for (const int64_t extent : extents) constant_c_shape_.append(extent);
  const void* data = nullptr;
  api_.check(api_.ort->GetTensorData(value, &data));
  const auto* values = static_cast<const float*>(data);
  constant_c_.assign(values, values + constant_c_shape_.elements());
  c_is_constant_ = true;
}

// y = alpha * y + beta * C, C broadcast to [m, n].
void ProductNode::finish_gemm(OrtKernelContext* context, float* y, size_t m, size_t n) const {
  if (alpha_ != 1.0f) {
    for (size_t i = 0; i < m * n; ++i) y[i] *= alpha_;
  }
  if (!has_c_) return;
  const TensorView c = c_is_constant_
                           ? TensorView{constant_c_.data(), ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, constant_c_shape_}
                           : input_tensor(api_, context, c_input_);
  const size_t columns = extent_from_right(c.shape, 0);
  const size_t rows = extent_from_right(c.shape, 1);
  if ((columns != 1 && columns != n) || (rows != 1 && rows != m) || c.shape.elements() != rows * columns ||
      c.element_type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
    throw Error(LPC_INVALID_ARGUMENT, "tensor " + blob_->tensor() + ": its Gemm's C cannot be broadcast to " +
                                          std::to_string(m) + " x " + std::to_string(n) + " float32");
  }
  const auto* values = static_cast<const float*>(c.data);
  for (size_t i = 0; i < m; ++i) {
    const float* row = values + (rows == 1 ? 0 : i * columns);
    for (size_t j = 0; j < n; ++j) y[i * n + j] += beta_ * row[columns == 1 ? 0 : j];
  }
}

}  // namespace lpc
