// Product of activations with one decoded weight matrix, split over whatever runs loops in parallel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

// Some rows of a decoded matrix as it was stored: row-major, of `dtype`.
struct MatrixRows {
  const void* data = nullptr;
  uint32_t dtype = 0;
  size_t columns = 0;
  size_t first_row = 0;
  size_t row_count = 0;
  size_t total_rows = 0;  // of the whole matrix
};

// Runs body(context, i) for i in [0, count), in any order, on any threads.
struct ParallelLoop {
  void (*run)(void* self, void (*body)(void*, size_t), size_t count, void* context);
  void* self;
  size_t threads = 0;  // that may take part; 0: not known
};

// The share of these rows in y[m, outputs] = x[m, inputs] . W, float32, y and x dense.
// rows_are_outputs: W is the transpose of the matrix (outputs = rows, inputs = columns), and the rows' outputs are
// written. Otherwise W is the matrix, and the rows' products are added to y, which is cleared with the first row: the
// rows must come in order.
void multiply(const MatrixRows& rows, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop);

}  // namespace lpc
