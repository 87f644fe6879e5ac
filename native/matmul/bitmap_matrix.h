// Products of activations with a pruned matrix that stays in memory as codec `bitmap` stores it (docs/format.md, 4.4):
// the zeros come back in registers for one row of activations, tile by tile for several. The results are the same bit
// for bit as those of multiply() in matmul/product.h with the decoded matrix.
#pragma once

#include <vector>

#include "codecs/blob.h"
#include "matmul/product.h"
#include "simd/dot_bitmap.h"

namespace lpc {

// Consecutive segments of a bitmap blob. Refers to the bytes, which must outlive it; never copies them.
class BitmapMatrix {
 public:
  // Whether the blob can be computed with as it is stored: codec bitmap with plain non-zeros, bf16, rank 2, not empty.
  static bool can_hold(const BlobHeader& header);

  // As PackedMatrix's. Throws LPC_FORMAT_ERROR.
  BitmapMatrix(const BlobHeader& header, size_t first_segment, size_t segment_count, Bytes stored);

  // Rows within one segment.
  struct Run {
    BitmapRows rows;               // of the segment
    const uint8_t* raw = nullptr;  // the segment's rows, if it is not encoded
    size_t first_row = 0;          // of the segment in the whole matrix
    size_t begin = 0;              // within the segment
    size_t end = 0;

    size_t row() const { return first_row + begin; }
    size_t count() const { return end - begin; }
  };

  size_t columns() const { return columns_; }
  size_t total_rows() const { return total_rows_; }  // of the whole matrix
  // All rows in order, in runs of about equal size.
  const std::vector<Run>& runs() const { return runs_; }
  // A run's rows to `out`: dense bf16, any alignment.
  void decode(const Run& run, uint8_t* out) const;

 private:
  size_t columns_;
  size_t total_rows_;
  std::vector<Run> runs_;
};

// As multiply() in matmul/product.h: the share of these rows in y[m, outputs] = x[m, inputs] . W. Nothing is allocated
// once a thread has seen its largest product.
void multiply(const BitmapMatrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop);

}  // namespace lpc
