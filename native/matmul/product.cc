#include "matmul/product.h"

#include <algorithm>

#include "codecs/layout.h"
#include "matmul/batch.h"
#include "matmul/panel.h"
#include "matmul/scratch.h"
#include "simd/dot.h"

namespace lpc {
namespace {

// Outputs a task computes: enough work to be worth handing to another thread, small enough to balance.
constexpr size_t kOutputsPerTask = kPanelRows;

struct Call {
  const MatrixRows& rows;
  const float* x;  // arranged if m is at most kFewRows and weights are bf16, tiled if it is more than kBatchRows
  size_t m;
  float* y;
  const DotKernels& kernels;
};

void row_outputs(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const MatrixRows& rows = call.rows;
  const size_t begin = task * kOutputsPerTask;
  const size_t end = std::min(begin + kOutputsPerTask, rows.row_count);
  const auto* from = static_cast<const uint8_t*>(rows.data) + begin * rows.columns * dtype_bytes(rows.dtype);
  const auto multiply_rows = call.m <= kBatchRows ? multiply_batch : multiply_panels;
  multiply_rows(rows.dtype, from, end - begin, rows.columns, call.x, call.m, call.y + rows.first_row + begin,
                rows.total_rows);
}

void fp32_row_outputs(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const size_t begin = task * kOutputsPerTask;
  const size_t end = std::min(begin + kOutputsPerTask, call.rows.row_count);
  call.kernels.rows_fp32(static_cast<const float*>(call.rows.data), call.rows.columns, begin, end, call.x,
                         call.y + call.rows.first_row);
}

// Few rows of x, arranged.
void bf16_row_outputs(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const size_t begin = task * kOutputsPerTask;
  const size_t end = std::min(begin + kOutputsPerTask, call.rows.row_count);
  const size_t columns = call.rows.columns;
  for (size_t i = 0; i < call.m; ++i) {
    call.kernels.rows_bf16(call.rows.data, columns, begin, end, call.x + i * arranged_columns(columns),
                           call.y + i * call.rows.total_rows + call.rows.first_row);
  }
}

void column_outputs(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const MatrixRows& rows = call.rows;
  const size_t begin = task * kOutputsPerTask;
  const size_t end = std::min(begin + kOutputsPerTask, rows.columns);
  if (rows.first_row == 0) {
    for (size_t i = 0; i < call.m; ++i) std::fill_n(call.y + i * rows.columns + begin, end - begin, 0.0f);
  }
  call.kernels.columns(rows.dtype, rows.data, rows.row_count, rows.columns, begin, end, call.x + rows.first_row,
                       rows.total_rows, call.m, call.y);
}

}  // namespace

void multiply(const MatrixRows& rows, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop) {
  Call call{rows, x, m, y, dot_kernels()};
  const size_t outputs = rows_are_outputs ? rows.row_count : rows.columns;
  const size_t tasks = (outputs + kOutputsPerTask - 1) / kOutputsPerTask;
  if (m == 0 || tasks == 0) return;
  if (rows_are_outputs && m <= kFewRows && rows.dtype == LPC_DTYPE_BF16) {
    call.x = arranged(x, m, rows.columns);
    loop.run(loop.self, bf16_row_outputs, tasks, &call);
  } else if (rows_are_outputs && m == 1 && rows.dtype == LPC_DTYPE_FP32) {
    loop.run(loop.self, fp32_row_outputs, tasks, &call);
  } else {
    if (rows_are_outputs && m > kBatchRows) call.x = tiled(x, m, rows.columns, loop);
    loop.run(loop.self, rows_are_outputs ? row_outputs : column_outputs, tasks, &call);
  }
}

}  // namespace lpc
