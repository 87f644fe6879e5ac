#include "matmul/decoded_matrix.h"

#include <algorithm>
#include <cstring>

#include "codecs/layout.h"
#include "codecs/tensor.h"
#include "matmul/batch.h"
#include "matmul/panel.h"
#include "matmul/scratch.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace {

// Outputs a task computes: enough work to be worth handing to another thread, small enough to balance.
constexpr size_t kOutputsPerTask = kPanelRows;
constexpr size_t kCopiedBytes = size_t{128} << 10;  // by a task

// Calls body(begin, end) for pieces of [0, count), `most` long.
template <typename Body>
void for_each_piece(const Loop& loop, size_t count, size_t most, const Body& body) {
  for_each(loop, (count + most - 1) / most, [&](size_t i) { body(i * most, std::min(count, (i + 1) * most)); });
}

void few_bf16_outputs(const MatrixRows& rows, const Product& product, const Loop& loop) {
  const float* const x = arranged(product.x, product.m, rows.columns);
  for_each_piece(loop, rows.row_count, kOutputsPerTask, [&](size_t begin, size_t end) {
    for (size_t i = 0; i < product.m; ++i) {
      dot_kernels().rows_bf16(rows.data, rows.columns, begin, end, x + i * arranged_columns(rows.columns),
                              product.y + i * rows.total_rows + rows.first_row);
    }
  });
}

void row_outputs(const MatrixRows& rows, const Product& product, const Loop& loop) {
  const bool batch = product.m <= kBatchRows;
  const float* const x = batch ? product.x : tiled(product.x, product.m, rows.columns, loop);
  const auto multiply_some = batch ? multiply_batch : multiply_panels;
  const size_t row_bytes = rows.columns * dtype_bytes(rows.dtype);
  for_each_piece(loop, rows.row_count, kOutputsPerTask, [&](size_t begin, size_t end) {
    multiply_some(rows.dtype, static_cast<const uint8_t*>(rows.data) + begin * row_bytes, end - begin, rows.columns, x,
                  product.m, product.y + rows.first_row + begin, rows.total_rows);
  });
}

void one_fp32_output(const MatrixRows& rows, const Product& product, const Loop& loop) {
  for_each_piece(loop, rows.row_count, kOutputsPerTask, [&](size_t begin, size_t end) {
    dot_kernels().rows_fp32(static_cast<const float*>(rows.data), rows.columns, begin, end, product.x,
                            product.y + rows.first_row);
  });
}

void column_outputs(const MatrixRows& rows, const Product& product, const Loop& loop) {
  for_each_piece(loop, rows.columns, kOutputsPerTask, [&](size_t begin, size_t end) {
    if (rows.first_row == 0) {
      for (size_t i = 0; i < product.m; ++i) std::fill_n(product.y + i * rows.columns + begin, end - begin, 0.0f);
    }
    dot_kernels().columns(rows.dtype, rows.data, rows.row_count, rows.columns, begin, end, product.x + rows.first_row,
                          rows.total_rows, product.m, product.y);
  });
}

}  // namespace

MatrixRows rows_of(const MatrixSource& source) {
  const BlobHeader& header = source.header;
  size_t rows = 0;
  for (size_t i = 0; i < source.segment_count; ++i) rows += header.segment_rows(source.first_segment + i);
  return {source.bytes.data(),
          header.tensor.dtype,
          header.tensor.shape[1],
          header.segment_first_row(source.first_segment),
          rows,
          header.tensor.shape[0]};
}

void multiply_rows(const MatrixRows& rows, const Product& product, const Loop& loop) {
  if (product.m == 0) return;
  if (!product.rows_are_outputs) return column_outputs(rows, product, loop);
  if (product.m <= kFewRows && rows.dtype == LPC_DTYPE_BF16) return few_bf16_outputs(rows, product, loop);
  if (product.m == 1 && rows.dtype == LPC_DTYPE_FP32) return one_fp32_output(rows, product, loop);
  row_outputs(rows, product, loop);
}

void copy_rows(const MatrixRows& rows, uint8_t* out, const Loop& loop) {
  const size_t bytes = rows.row_count * rows.columns * dtype_bytes(rows.dtype);
  for_each_piece(loop, bytes, kCopiedBytes, [&](size_t begin, size_t end) {
    std::memcpy(out + begin, static_cast<const uint8_t*>(rows.data) + begin, end - begin);
  });
}

bool DecodedMatrix::can_hold(const BlobHeader& header, Form form, const RowScales& scales) {
  const uint32_t dtype = header.tensor.dtype;
  return form == Form::kDecoded && header.tensor.rank == 2 && scales.values.empty() &&
         (dtype == LPC_DTYPE_BF16 || dtype == LPC_DTYPE_FP16 || dtype == LPC_DTYPE_FP32 || dtype == LPC_DTYPE_INT8);
}

}  // namespace lpc
