#include "matmul/int8_product.h"

#include <algorithm>

#include "simd/dot_int8.h"

namespace lpc {
namespace {

constexpr size_t kRowsPerTask = 64;  // as in matmul/product.cc

struct Call {
  Int8Rows rows;
  size_t row_count;
  const float* x;
  size_t m;
  float* y;
  size_t y_stride;
  const Int8Kernels& kernels = int8_kernels();
};

void some_rows(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const size_t begin = task * kRowsPerTask;
  const size_t end = std::min(begin + kRowsPerTask, call.row_count);
  if (call.m == 1) {
    call.kernels.one(call.rows, begin, end, call.x, call.y);
  } else {
    call.kernels.several(call.rows, begin, end, call.x, call.m, call.y, call.y_stride);
  }
}

}  // namespace

void multiply(const MatrixRows& rows, const RowScales& scales, const float* x, size_t m, float* y,
              const ParallelLoop& loop) {
  const float* first = scales.values.data() + rows.first_row * scales.groups(rows.columns);
  Call call{{static_cast<const int8_t*>(rows.data), first, rows.columns, scales.group},
            rows.row_count,
            x,
            m,
            y + rows.first_row,
            rows.total_rows};
  const size_t tasks = (rows.row_count + kRowsPerTask - 1) / kRowsPerTask;
  if (m != 0 && tasks != 0) loop.run(loop.self, some_rows, tasks, &call);
}

}  // namespace lpc
