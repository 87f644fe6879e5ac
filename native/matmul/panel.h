// Products of many rows of activations with decoded weights: the weights are widened to float32 and transposed panel
// by panel, and each panel stays in the second-level cache while all activations are multiplied with it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matmul/loop.h"

namespace lpc {

inline constexpr size_t kPanelRows = 128;

// x[m, k] as multiply_panels takes it, in memory of the calling thread until its next call.
const float* tiled(const float* x, size_t m, size_t k, const Loop& loop);

// For one thread: y[i * y_stride + r] = sum over c of x[i * columns + c] * w[r * columns + c], for r in [0, rows) and i
// in [0, m). `w` is of `dtype`, row-major, of any alignment. Allocates once a thread.
void multiply_panels(uint32_t dtype, const void* w, size_t rows, size_t columns, const float* tiled_x, size_t m,
                     float* y, size_t y_stride);

}  // namespace lpc
