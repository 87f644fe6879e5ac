// {Decompress[, DequantizeLinear], MatMul | Gemm}: a product with a weight that the layer store has decoded in time.
#pragma once

#include "ep/claim.h"
#include "ep/fused_node.h"
#include "matmul/matrix.h"
#include "store/layer_store.h"

namespace lpc {

class ProductNode : public FusedNode {
 public:
  ProductNode(const Api& api, const Pair& pair, const OrtNode* fused, const BlobPlace& place,
              std::shared_ptr<const StoredBlob> blob);

  const std::shared_ptr<const StoredBlob>& blob() const { return blob_; }
  // Says where the weight comes from, and on how many threads of our own its products run, if not on the session's (0);
  // called before the first run.
  void attach(LayerStore* store, const Schedule* schedule, size_t index_of_blob, Observer* observer, unsigned threads);

 private:
  void compute(OrtKernelContext* context) override;
  const Matrix& matrix_of(size_t index, const uint8_t* data);
  void multiply_part(size_t index, const float* x, size_t m, float* y, OrtKernelContext* context);
  void keep_constant_c(const OrtValueInfo* c);
  void finish_gemm(OrtKernelContext* context, float* y, size_t m, size_t n) const;

  std::shared_ptr<const StoredBlob> blob_;
  LayerStore* store_ = nullptr;
  const Schedule* schedule_ = nullptr;
  size_t index_ = 0;
  Observer* observer_ = nullptr;
  unsigned threads_ = 0;
  // A part of the blob, opened at its first use; one that is streamed lies elsewhere in every pass.
  struct OpenPart {
    const uint8_t* data = nullptr;
    std::unique_ptr<Matrix> matrix;
  };
  std::vector<OpenPart> opened_;
  RowScales scales_;  // of an int8 weight; empty without
  bool rows_are_outputs_;
  size_t x_input_;
  bool gemm_;
  float alpha_ = 1.0f;
  float beta_ = 1.0f;
  bool has_c_ = false;
  bool c_is_constant_ = false;
  size_t c_input_ = 0;
  std::vector<float> constant_c_;  // a constant C is no input of the fused node: it was dropped with the blob
  Shape constant_c_shape_;
};

}  // namespace lpc
