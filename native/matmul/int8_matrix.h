// A decoded matrix of symmetric INT8 weights: products are computed straight from the integers, and the scale of a row
// (or of a group of columns in it) multiplies its sum. For one instruction set the result is the same bit for bit
// however the rows are cut into matrices.
#pragma once

#include "matmul/decoded_matrix.h"

namespace lpc {

class Int8Matrix final : public Matrix {
 public:
  static bool can_hold(const BlobHeader& header, Form form, const RowScales& scales);
  explicit Int8Matrix(const MatrixSource& source);

  // Rows are outputs, always.
  void multiply(const Product& product, const Loop& loop) const override;
  void read(uint8_t* out, const Loop& loop) const override { copy_rows(rows_, out, loop); }
  void rebase(const uint8_t* bytes) override { rows_.data = bytes; }

 private:
  MatrixRows rows_;
  const float* scales_;  // of the first row held
  size_t group_;
};

}  // namespace lpc
