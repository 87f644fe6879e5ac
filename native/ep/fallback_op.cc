#include "ep/fallback_op.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "codecs/decode.h"
#include "simd/dot.h"

namespace lpc {
namespace {

constexpr size_t kTransposeTile = 32;

void transpose(const float* in, size_t rows, size_t columns, float* out) {
  for (size_t r = 0; r < rows; r += kTransposeTile) {
    for (size_t c = 0; c < columns; c += kTransposeTile) {
      for (size_t i = r; i < std::min(r + kTransposeTile, rows); ++i) {
        for (size_t j = c; j < std::min(c + kTransposeTile, columns); ++j) out[j * rows + i] = in[i * columns + j];
      }
    }
  }
}

class DecompressKernel {
 public:
  DecompressKernel(const Api& api, const OrtKernelInfo* info) : api_(api) {
    int64_t transposed = 0;
    OrtStatus* status = api_.ort->KernelInfoGetAttribute_int64(info, "transpose", &transposed);
    if (status != nullptr) api_.ort->ReleaseStatus(status);  // left out: 0
    transpose_ = transposed != 0;
    size_t bytes = 0;
    status = api_.ort->KernelInfoGetAttribute_string(info, "tensor", nullptr, &bytes);
    if (status != nullptr) api_.ort->ReleaseStatus(status);
    tensor_.resize(bytes);
    status = api_.ort->KernelInfoGetAttribute_string(info, "tensor", tensor_.data(), &bytes);
    if (status != nullptr) api_.ort->ReleaseStatus(status);  // nameless: the messages say less
    while (!tensor_.empty() && tensor_.back() == '\0') tensor_.pop_back();
  }

  void compute(OrtKernelContext* context) const {
    try {
      decompress(context);
    } catch (const Error& error) {
      throw Error(error.status(), "tensor " + tensor_ + ": " + error.what());
    }
  }

  const Api& api() const { return api_; }

 private:
  void decompress(OrtKernelContext* context) const {
    const TensorView blob = input_tensor(api_, context, 0);
    const Bytes bytes(static_cast<const uint8_t*>(blob.data), blob.shape.elements());
    const BlobHeader header = parse_whole_blob(bytes);
    if (header.tensor.dtype > LPC_DTYPE_INT8) {
      throw Error(LPC_UNSUPPORTED,
                  "dtype " + std::to_string(header.tensor.dtype) + ": expected bf16, fp16, fp32 or int8");
    }
    if (transpose_ && header.tensor.rank != 2)
      throw Error(LPC_FORMAT_ERROR, "transpose of a tensor of another rank than 2");
    Shape shape;
    for (uint32_t i = 0; i < header.tensor.rank; ++i) {
      shape.append(static_cast<int64_t>(header.tensor.shape[transpose_ ? 1 - i : i]));
    }
    auto* out = static_cast<float*>(output_tensor(api_, context, 0, shape));
    const size_t elements = shape.elements();
    std::vector<uint8_t> decoded(header.decoded_bytes());
    decode_rows(header, bytes, 0, header.rows, decoded, 0);
    if (!transpose_) {
      dot_kernels().widen(header.tensor.dtype, decoded.data(), elements, out);
      return;
    }
    std::vector<float> widened(elements);
    dot_kernels().widen(header.tensor.dtype, decoded.data(), elements, widened.data());
    transpose(widened.data(), header.tensor.shape[0], header.tensor.shape[1], out);
  }

  const Api api_;
  std::string tensor_;
  bool transpose_ = false;
};

// The operator's description; one for each ONNX Runtime in the process, because shape inference is not told which.
class DecompressOp : public OrtCustomOp {
 public:
  explicit DecompressOp(const Api& api) : OrtCustomOp{}, api_(api) {
    version = kOrtApiVersion;
    GetName = [](const OrtCustomOp*) { return kDecompress; };
    GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
    GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return 2; };
    GetInputType = [](const OrtCustomOp*, size_t index) {
      return index == 0 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    };
    GetInputCharacteristic = [](const OrtCustomOp*, size_t index) {
      return index == 0 ? INPUT_OUTPUT_REQUIRED : INPUT_OUTPUT_OPTIONAL;
    };
    GetInputMemoryType = [](const OrtCustomOp*, size_t) { return OrtMemTypeDefault; };
    GetOutputTypeCount = [](const OrtCustomOp*) -> size_t { return 1; };
    GetOutputType = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; };
    GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_REQUIRED; };
    GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
    GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
    GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
    GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
    GetStartVersion = [](const OrtCustomOp*) { return 1; };
    GetEndVersion = [](const OrtCustomOp*) { return 1; };
    CreateKernelV2 = create_kernel;
    KernelComputeV2 = compute;
    KernelDestroy = destroy;
    InferOutputShapeFn = infer_shape;
  }

 private:
  static OrtStatus* ORT_API_CALL create_kernel(const OrtCustomOp* self, const OrtApi*, const OrtKernelInfo* info,
                                               void** kernel) noexcept {
    const Api& api = static_cast<const DecompressOp*>(self)->api_;
    return api.guard([&] { *kernel = new DecompressKernel(api, info); });
  }
  static OrtStatus* ORT_API_CALL compute(void* kernel, OrtKernelContext* context) noexcept {
    const auto* self = static_cast<const DecompressKernel*>(kernel);
    return self->api().guard([&] { self->compute(context); });
  }
  static void ORT_API_CALL destroy(void* kernel) noexcept { delete static_cast<DecompressKernel*>(kernel); }
  static OrtStatus* ORT_API_CALL infer_shape(const OrtCustomOp* self, OrtShapeInferContext* context) noexcept {
    const auto* op = static_cast<const DecompressOp*>(self);
    return op->api_.guard([&] { op->set_output_shape(context); });
  }

  // The output's shape is the attribute `shape`, or its reverse under `transpose`.
  void set_output_shape(OrtShapeInferContext* context) const {
    int64_t shape[LPC_MAX_RANK] = {};
    size_t bytes = 0;
    const OrtOpAttr* attribute = nullptr;
    api_.check(api_.ort->ShapeInferContext_GetAttribute(context, "shape", &attribute));
    api_.check(api_.ort->ReadOpAttr(attribute, ORT_OP_ATTR_INTS, shape, sizeof shape, &bytes));
    const size_t rank = bytes / sizeof(int64_t);
    int64_t transposed = 0;
    OrtStatus* status = api_.ort->ShapeInferContext_GetAttribute(context, "transpose", &attribute);
    if (status != nullptr) {
      api_.ort->ReleaseStatus(status);
    } else {
      api_.check(api_.ort->ReadOpAttr(attribute, ORT_OP_ATTR_INT, &transposed, sizeof transposed, &bytes));
    }
    if (transposed != 0 && rank == 2) std::swap(shape[0], shape[1]);
    OrtTensorTypeAndShapeInfo* info = nullptr;
    api_.check(api_.ort->CreateTensorTypeAndShapeInfo(&info));
    status = api_.ort->SetDimensions(info, shape, rank);
    if (status == nullptr) status = api_.ort->SetTensorElementType(info, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
    if (status == nullptr) status = api_.ort->ShapeInferContext_SetOutputTypeShape(context, 0, info);
    api_.ort->ReleaseTensorTypeAndShapeInfo(info);
    api_.check(status);
  }

  const Api api_;
};

// Kept for the life of the process: sessions hold pointers into it, and nothing tells when the last one is gone.
struct Domain {
  explicit Domain(const Api& api) : op(api) {
    api.check(api.ort->CreateCustomOpDomain(kDomain, &domain));
    api.check(api.ort->CustomOpDomain_Add(domain, &op));
  }
  DecompressOp op;
  OrtCustomOpDomain* domain = nullptr;
};

}  // namespace

void add_decompress_op(const Api& api, OrtSessionOptions* options) {
  static std::mutex mutex;
  static auto* domains = new std::map<const OrtApi*, std::unique_ptr<Domain>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Domain>& domain = (*domains)[api.ort];
  if (domain == nullptr) domain = std::make_unique<Domain>(api);
  api.check(api.ort->AddCustomOpDomain(options, domain->domain));
}

}  // namespace lpc
