#include "matmul/int8_matrix.h"

#include <algorithm>

#include "simd/dot/dot_int8.h"

namespace lpc {
namespace {

constexpr size_t kRowsPerTask = 64;

}  // namespace

bool Int8Matrix::can_hold(const BlobHeader& header, Form form, const RowScales& scales) {
  return form == Form::kDecoded && header.tensor.rank == 2 && header.tensor.dtype == LPC_DTYPE_INT8 &&
         !scales.values.empty();
}

Int8Matrix::Int8Matrix(const MatrixSource& source)
    : rows_(rows_of(source)),
      scales_(source.scales.values.data() + rows_.first_row * source.scales.groups(rows_.columns)),
      group_(source.scales.group) {}

void Int8Matrix::multiply(const Product& product, const Loop& loop) const {
  if (product.m == 0) return;
  const Int8Rows rows{static_cast<const int8_t*>(rows_.data), scales_, rows_.columns, group_};
  float* const y = product.y + rows_.first_row;
  for_each(loop, (rows_.row_count + kRowsPerTask - 1) / kRowsPerTask, [&](size_t task) {
    const size_t begin = task * kRowsPerTask;
    const size_t end = std::min(begin + kRowsPerTask, rows_.row_count);
    if (product.m == 1) {
      int8_kernels().one(rows, begin, end, product.x, y);
    } else {
      int8_kernels().several(rows, begin, end, product.x, product.m, y, rows_.total_rows);
    }
  });
}

}  // namespace lpc
