// Product of activations with one decoded weight matrix, split over whatever runs loops in parallel.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

// A decoded matrix as it was stored: row-major, `rows` x `columns` of `dtype`.
struct Matrix {
  const void* data = nullptr;
  uint32_t dtype = 0;
  size_t rows = 0;
  size_t columns = 0;
};

// Runs body(context, i) for i in [0, count), in any order, on any threads.
struct ParallelLoop {
  void (*run)(void* self, void (*body)(void*, size_t), size_t count, void* context);
  void* self;
};

// y[m, outputs] = x[m, inputs] . W, float32, y and x dense.
// rows_are_outputs: W is the transpose of `matrix` (outputs = rows, inputs = columns); otherwise W is `matrix`.
void multiply(const Matrix& matrix, bool rows_are_outputs, const float* x, size_t m, float* y,
              const ParallelLoop& loop);

}  // namespace lpc
