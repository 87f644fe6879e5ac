// Products of activations with a matrix that stays packed in memory (codec `packed`, docs/format.md, 4.3): decoded in
// registers for one row of activations, tile by tile for several. The results are the same bit for bit as those of
// multiply() in matmul/product.h with the decoded matrix.
#pragma once

#include <vector>

#include "codecs/blob.h"
#include "matmul/product.h"
#include "simd/packed.h"

namespace lpc {

// Consecutive segments of a packed blob. Refers to the bytes, which must outlive it; never copies them.
class PackedMatrix {
 public:
  // Whether the blob can be computed with while it is packed: codec packed, bf16, rank 2, not empty.
  static bool can_hold(const BlobHeader& header);

  // Segments [first_segment, first_segment + segment_count); `stored` are the bytes of the blob from where the first
  // one begins to where the last one ends. Checks the structure of each segment, not the checksums. Throws
  // LPC_FORMAT_ERROR. Memory of huge pages is read faster.
  PackedMatrix(const BlobHeader& header, size_t first_segment, size_t segment_count, Bytes stored);

  // Rows within one segment.
  struct Run : PackedRun {
    const uint8_t* raw = nullptr;  // the segment's rows, if it is not encoded
    size_t first_row = 0;          // of the segment in the whole matrix

    size_t row() const { return first_row + begin; }
    size_t count() const { return end - begin; }
  };

  const PackedTables& tables() const { return tables_; }
  size_t columns() const { return columns_; }
  size_t total_rows() const { return total_rows_; }  // of the whole matrix
  size_t first_row() const { return runs_.front().row(); }
  size_t row_count() const { return row_count_; }
  // All rows in order, in runs of about equal size.
  const std::vector<Run>& runs() const { return runs_; }
  // The same in runs of whole segments, for one thread.
  const std::vector<Run>& segments() const { return segments_; }
  // The same in runs of at most kPanelRows rows.
  const std::vector<Run>& panels() const { return panels_; }
  // A run's rows to `out`: dense bf16, any alignment.
  void decode(const Run& run, uint8_t* out) const;

 private:
  PackedTables tables_;
  size_t columns_;
  size_t total_rows_;
  size_t row_count_ = 0;
  std::vector<Run> runs_, segments_, panels_;
};

// As multiply() in matmul/product.h: the share of these rows in y[m, outputs] = x[m, inputs] . W. Nothing is allocated
// once a thread has seen its largest product.
void multiply(const PackedMatrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop);

}  // namespace lpc
