// A matrix whose elements lie in memory row by row: bf16, fp16, fp32, or int8 without scales.
#pragma once

#include "matmul/matrix.h"

namespace lpc {

// Some rows of a decoded matrix: row-major, of `dtype`.
struct MatrixRows {
  const void* data = nullptr;
  uint32_t dtype = 0;
  size_t columns = 0;
  size_t first_row = 0;
  size_t row_count = 0;
  size_t total_rows = 0;  // of the whole matrix
};

// The rows that a source in decoded form holds.
MatrixRows rows_of(const MatrixSource& source);

// The share of these rows in a product.
void multiply_rows(const MatrixRows& rows, const Product& product, const Loop& loop);

// The bytes of these rows to `out`.
void copy_rows(const MatrixRows& rows, uint8_t* out, const Loop& loop);

class DecodedMatrix final : public Matrix {
 public:
  static bool can_hold(const BlobHeader& header, Form form, const RowScales& scales);
  explicit DecodedMatrix(const MatrixSource& source) : rows_(rows_of(source)) {}

  void multiply(const Product& product, const Loop& loop) const override { multiply_rows(rows_, product, loop); }
  void read(uint8_t* out, const Loop& loop) const override { copy_rows(rows_, out, loop); }
  void rebase(const uint8_t* bytes) override { rows_.data = bytes; }

 private:
  MatrixRows rows_;
};

}  // namespace lpc
