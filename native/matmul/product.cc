#include "matmul/product.h"

#include <algorithm>

#include "simd/dot.h"

namespace lpc {
namespace {

// Outputs a task computes: enough work to be worth handing to another thread, small enough to balance.
constexpr size_t kOutputsPerTask = 64;

struct Call {
  const Matrix& matrix;
  bool rows_are_outputs;
  const float* x;
  size_t m;
  float* y;
  size_t outputs;
  const DotKernels& kernels;
};

void run_task(void* context, size_t task) {
  const Call& call = *static_cast<const Call*>(context);
  const Matrix& matrix = call.matrix;
  const size_t begin = task * kOutputsPerTask;
  const size_t end = std::min(begin + kOutputsPerTask, call.outputs);
  if (call.rows_are_outputs) {
    call.kernels.rows(matrix.dtype, matrix.data, matrix.columns, begin, end, call.x, call.m, call.y, call.outputs);
  } else {
    call.kernels.columns(matrix.dtype, matrix.data, matrix.rows, matrix.columns, begin, end, call.x, call.m, call.y,
                         call.outputs);
  }
}

}  // namespace

void multiply(const Matrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop) {
  Call call{matrix, rows_are_outputs, x, m, y, rows_are_outputs ? matrix.rows : matrix.columns, dot_kernels()};
  const size_t tasks = (call.outputs + kOutputsPerTask - 1) / kOutputsPerTask;
  if (m > 0 && tasks > 0) loop.run(loop.self, run_task, tasks, &call);
}

}  // namespace lpc
