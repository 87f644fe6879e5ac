// Products of decoded weights with float32 activations: the kernels behind native/matmul.
//
// Results may differ between instruction sets in the last bits (order of summation, fused multiply-add); for one
// instruction set they depend only on the numbers, m, n and k.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lpc/lpc.h"

namespace lpc {

// Products of many rows take so many columns at a time, and activations lie so far apart: not a power of two, so that
// their rows do not share sets of the first-level cache.
inline constexpr size_t kPanelColumns = 256;
inline constexpr size_t kPanelStride = kPanelColumns + 16;

struct DotKernels {
  // x[0, k) in the order that rows_bf16 and PackedKernels::dot take it; `out` has room for k rounded up to 64.
  void (*arrange)(const float* x, size_t k, float* out);
  // y[r] = sum over c of x[c] * w[r * k + c], for r in [row_begin, row_end); `w` is bf16 of any alignment, x arranged.
  void (*rows_bf16)(const void* w, size_t k, size_t row_begin, size_t row_end, const float* x, float* y);
  // y[r] = sum over c of x[c] * w[r * k + c], for r in [row_begin, row_end).
  void (*rows_fp32)(const float* w, size_t k, size_t row_begin, size_t row_end, const float* x, float* y);
  // y[i * y_stride + r] = (add ? that : 0) + sum over c of x[i * x_stride + c] * w[r * tile_columns + c], for c in
  // [0, columns), r in [0, rows) and i in [0, m). columns <= tile_columns; `w` is zero from there to a multiple of 16.
  void (*tiles)(const float* w, size_t rows, size_t columns, const float* x, size_t x_stride, size_t m, float* y,
                size_t y_stride, bool add);
  size_t tile_columns;
  // `rows` rows of `columns` weights (at most kPanelColumns), row_bytes apart, as multiply_panel takes them, in room
  // for rows rounded up to 32 times kPanelColumns.
  void (*fill_panel)(uint32_t dtype, const void* w, size_t rows, size_t row_bytes, size_t columns, float* panel);
  // y[i * y_stride + r] = (add ? that : 0) + sum over c of x[i * kPanelStride + c] * w[r][c], for c in [0, columns),
  // r in [0, rows) and i in [0, m).
  void (*multiply_panel)(const float* panel, size_t rows, size_t columns, const float* x, size_t m, float* y,
                         size_t y_stride, bool add);
  size_t panel_batch;  // as many rows of activations at a time
  // y[i * n + c] += sum over r of x[i * x_stride + r] * w[r * n + c], for c in [column_begin, column_end), i in [0, m).
  // `w` is row-major with k rows and n columns.
  void (*columns)(uint32_t dtype, const void* w, size_t k, size_t n, size_t column_begin, size_t column_end,
                  const float* x, size_t x_stride, size_t m, float* y);
  // The xor of whole 64-byte lines: as fast as one core can read memory, the ceiling of every product.
  uint64_t (*read)(const void* lines, size_t bytes);
  // out[i] = in[i] widened exactly.
  void (*widen)(uint32_t dtype, const void* in, size_t count, float* out);
};

// The kernels of active_isa().
const DotKernels& dot_kernels();

}  // namespace lpc
