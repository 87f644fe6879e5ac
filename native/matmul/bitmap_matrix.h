// A pruned matrix that stays in memory as codec `bitmap` stores it (docs/format.md, 4.4): the zeros come back in
// registers for few rows of activations, tile by tile for more.
#pragma once

#include "matmul/matrix.h"
#include "simd/bitmap/dot_bitmap.h"

namespace lpc {

class BitmapMatrix final : public Matrix {
 public:
  // Codec bitmap with plain non-zeros, bf16, rank 2, not empty.
  static bool can_hold(const BlobHeader& header, Form form, const RowScales& scales);
  explicit BitmapMatrix(const MatrixSource& source);

  void multiply(const Product& product, const Loop& loop) const override;
  void read(uint8_t* out, const Loop& loop) const override;
  void rebase(const uint8_t* bytes) override;

 private:
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

  void few_rows(const Product& product, const Loop& loop) const;
  void several_rows(const Product& product, const Loop& loop) const;
  void decode(const Run& run, uint8_t* out) const;

  const uint8_t* bytes_;
  size_t columns_;
  size_t total_rows_;
  std::vector<Run> runs_;  // all rows in order, in runs of about equal size
};

}  // namespace lpc
