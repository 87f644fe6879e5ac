// {Decompress[, DequantizeLinear], Gather}: rows of a table fetched and decoded on demand; the table itself is never
// decoded.
#pragma once

#include <mutex>

#include "ep/claim.h"
#include "ep/fused_node.h"
#include "matmul/matrix.h"

namespace lpc {

class GatherNode : public FusedNode {
 public:
  GatherNode(const Api& api, const Pair& pair, const OrtNode* fused, const BlobPlace& place,
             std::shared_ptr<const StoredBlob> blob, std::shared_ptr<Observer> observer);

 private:
  void compute(OrtKernelContext* context) override;
  int64_t checked_row(const TensorView& indices, size_t position) const;
  void fetch(const TensorView& indices, float* out);
  void widen(const uint8_t* row_data, uint64_t row, float* out) const;
  const uint8_t* segment(size_t index);

  std::shared_ptr<const StoredBlob> blob_;
  std::shared_ptr<Observer> observer_;
  size_t indices_input_;
  RowScales scales_;  // of an int8 table; empty without

  std::mutex mutex_;  // guards what follows
  ReadBuffers buffers_;
  std::vector<uint8_t> decoded_;  // the segment that was needed last: neighbours in a text often share one
  size_t decoded_segment_ = SIZE_MAX;
  std::vector<std::pair<uint64_t, size_t>> order_;  // (row, position) sorted, so that no segment is read twice
};

}  // namespace lpc
