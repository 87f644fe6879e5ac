#include "ep/fallback_op.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "codecs/decode.h"
#include "codecs/tensor.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace {

constexpr size_t kTransposeTile = 32;

// What the attribute `to` may say. "float32" widens; every other type hands the stored elements out as they are.
struct OutputType {
  const char* name;
  ONNXTensorElementDataType element;
  uint32_t stored;  // the dtype that a blob must have; 0: any that widens
};
constexpr OutputType kOutputTypes[] = {
    {"float32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 0},
    {"float16", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, LPC_DTYPE_FP16},
    {"bfloat16", ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16, LPC_DTYPE_BF16},
    {"int8", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, LPC_DTYPE_INT8},
    {"uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, LPC_DTYPE_UINT8},
};

const OutputType& output_type(const std::string& name) {
  if (name.empty()) return kOutputTypes[0];
  for (const OutputType& type : kOutputTypes) {
    if (name == type.name) return type;
  }
  throw Error(LPC_UNSUPPORTED, "attribute to: got '" + name + "', expected float32, float16, bfloat16, int8 or uint8");
}

template <typename Element>
void transpose(const Element* in, size_t rows, size_t columns, Element* out) {
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
    tensor_ = string_attribute(info, "tensor");  // nameless: the messages say less
    to_ = &output_type(string_attribute(info, "to"));
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
  // "" where the node has no such attribute.
  std::string string_attribute(const OrtKernelInfo* info, const char* name) const {
    size_t bytes = 0;
    OrtStatus* status = api_.ort->KernelInfoGetAttribute_string(info, name, nullptr, &bytes);
    if (status != nullptr) api_.ort->ReleaseStatus(status);
    std::string value(bytes, '\0');
    status = api_.ort->KernelInfoGetAttribute_string(info, name, value.data(), &bytes);
    if (status != nullptr) api_.ort->ReleaseStatus(status);
    while (!value.empty() && value.back() == '\0') value.pop_back();
    return value;
  }

  void check_dtype(uint32_t dtype) const {
    if (to_->stored == 0 && dtype > LPC_DTYPE_INT8) {
      throw Error(LPC_UNSUPPORTED, "dtype " + std::to_string(dtype) + ": expected bf16, fp16, fp32 or int8");
    }
    if (to_->stored != 0 && dtype != to_->stored) {
      throw Error(LPC_FORMAT_ERROR, "dtype " + std::to_string(dtype) + ": expected " + std::to_string(to_->stored) +
                                        " for an output of " + to_->name);
    }
  }

  void decompress(OrtKernelContext* context) const {
    const TensorView blob = input_tensor(api_, context, 0);
    const Bytes bytes(static_cast<const uint8_t*>(blob.data), blob.shape.elements());
    const BlobHeader header = parse_whole_blob(bytes);
    check_dtype(header.tensor.dtype);
    if (transpose_ && header.tensor.rank != 2)
      throw Error(LPC_FORMAT_ERROR, "transpose of a tensor of another rank than 2");
    Shape shape;
    for (uint32_t i = 0; i < header.tensor.rank; ++i) {
      shape.append(static_cast<int64_t>(header.tensor.shape[transpose_ ? 1 - i : i]));
    }
    void* out = output_tensor(api_, context, 0, shape);
    if (out == nullptr) return;  // nobody uses it
    if (to_->stored == 0) {
      widen(header, bytes, static_cast<float*>(out));
    } else if (!transpose_) {
      decode_rows(header, bytes, 0, header.rows, MutableBytes(static_cast<uint8_t*>(out), header.decoded_bytes()), 0);
    } else {
      transpose_stored(header, bytes, out);
    }
  }

  void widen(const BlobHeader& header, Bytes bytes, float* out) const {
    std::vector<uint8_t> decoded(header.decoded_bytes());
    decode_rows(header, bytes, 0, header.rows, decoded, 0);
    const size_t elements = decoded.size() / dtype_bytes(header.tensor.dtype);
    if (!transpose_) {
      dot_kernels().widen(header.tensor.dtype, decoded.data(), elements, out);
      return;
    }
    std::vector<float> widened(elements);
    dot_kernels().widen(header.tensor.dtype, decoded.data(), elements, widened.data());
    transpose(widened.data(), header.tensor.shape[0], header.tensor.shape[1], out);
  }

  void transpose_stored(const BlobHeader& header, Bytes bytes, void* out) const {
    std::vector<uint8_t> decoded(header.decoded_bytes());
    decode_rows(header, bytes, 0, header.rows, decoded, 0);
    const size_t rows = header.tensor.shape[0];
    const size_t columns = header.tensor.shape[1];
    if (dtype_bytes(header.tensor.dtype) == 1) {
      transpose(decoded.data(), rows, columns, static_cast<uint8_t*>(out));
    } else {
      transpose(reinterpret_cast<const uint16_t*>(decoded.data()), rows, columns, static_cast<uint16_t*>(out));
    }
  }

  const Api api_;
  std::string tensor_;
  const OutputType* to_ = &kOutputTypes[0];
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
    // Any type, told by the attribute `to`. ONNX Runtime takes an output of no fixed type only where it is optional.
    GetOutputType = [](const OrtCustomOp*, size_t) { return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED; };
    GetOutputCharacteristic = [](const OrtCustomOp*, size_t) { return INPUT_OUTPUT_OPTIONAL; };
    GetVariadicInputMinArity = [](const OrtCustomOp*) { return 0; };
    GetVariadicInputHomogeneity = [](const OrtCustomOp*) { return 0; };
    GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 0; };
    GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
    GetStartVersion = [](const OrtCustomOp*) { return 1; };
    GetEndVersion = [](const OrtCustomOp*) { return static_cast<int>(kOperatorVersion); };
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
    const ONNXTensorElementDataType element = output_type(attribute_to(context)).element;
    OrtTensorTypeAndShapeInfo* info = nullptr;
    api_.check(api_.ort->CreateTensorTypeAndShapeInfo(&info));
    status = api_.ort->SetDimensions(info, shape, rank);
    if (status == nullptr) status = api_.ort->SetTensorElementType(info, element);
    if (status == nullptr) status = api_.ort->ShapeInferContext_SetOutputTypeShape(context, 0, info);
    api_.ort->ReleaseTensorTypeAndShapeInfo(info);
    api_.check(status);
  }

  // The attribute `to`; "" where it is absent.
  std::string attribute_to(OrtShapeInferContext* context) const {
    const OrtOpAttr* attribute = nullptr;
    OrtStatus* status = api_.ort->ShapeInferContext_GetAttribute(context, "to", &attribute);
    if (status != nullptr) {
      api_.ort->ReleaseStatus(status);
      return "";
    }
    char value[16] = {};
    size_t bytes = 0;
    api_.check(api_.ort->ReadOpAttr(attribute, ORT_OP_ATTR_STRING, value, sizeof value - 1, &bytes));
    return value;
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

OrtCustomOpDomain* decompress_domain(const Api& api) {
  static std::mutex mutex;
  static auto* domains = new std::map<const OrtApi*, std::unique_ptr<Domain>>;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Domain>& domain = (*domains)[api.ort];
  if (domain == nullptr) domain = std::make_unique<Domain>(api);
  return domain->domain;
}

void add_decompress_op(const Api& api, OrtSessionOptions* options) {
  api.check(api.ort->AddCustomOpDomain(options, decompress_domain(api)));
}

}  // namespace lpc
