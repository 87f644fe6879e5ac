// Products of symmetric INT8 weights with float32 activations: the weights are widened in registers, and a scale is
// applied to the sum of the columns that share it.
//
// Results may differ between instruction sets in the last bits; for one instruction set they depend only on the
// numbers, m and k.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

// Rows of int8 weights, row-major with k columns; every `group` neighbouring columns of a row share one of its scales
// (the last group may be shorter). Row r has scales[r * groups ... (r + 1) * groups), groups = k / group rounded up.
struct Int8Rows {
  const int8_t* weights = nullptr;
  const float* scales = nullptr;
  size_t k = 0;
  size_t group = 1;

  size_t groups() const { return (k + group - 1) / group; }
};

struct Int8Kernels {
  // y[r] = sum over c of x[c] * w[r, c], for r in [begin, end).
  void (*one)(const Int8Rows& rows, size_t begin, size_t end, const float* x, float* y);
  // y[i * y_stride + r] = sum over c of x[i * k + c] * w[r, c], for r in [begin, end) and i in [0, m).
  void (*several)(const Int8Rows& rows, size_t begin, size_t end, const float* x, size_t m, float* y, size_t y_stride);
  // out[c] = w[r, c], the product of weight and scale rounded to float32 as ONNX DequantizeLinear does it.
  void (*dequantize)(const Int8Rows& rows, size_t r, float* out);
};

// The kernels of active_isa().
const Int8Kernels& int8_kernels();

}  // namespace lpc
