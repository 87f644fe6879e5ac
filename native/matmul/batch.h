// Products of a few rows of activations with decoded weights, for one thread: rows of weights are widened to float32,
// and stay in the second-level cache while all activations are multiplied with them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

// More rows of activations pay for transposing the weights (matmul/panel.h).
inline constexpr size_t kBatchRows = 16;
inline constexpr size_t kBatchPanelRows = 48;  // of weights

// y[i * y_stride + r] = sum over c of x[i * columns + c] * w[r * columns + c], for r in [0, rows) and i in [0, m). `w`
// is of `dtype`, row-major, of any alignment. Allocates once a thread.
void multiply_batch(uint32_t dtype, const void* w, size_t rows, size_t columns, const float* x, size_t m, float* y,
                    size_t y_stride);

}  // namespace lpc
