// Products of pruned bf16 weights, straight from the bitmap and the non-zeros (docs/format.md, 4.4), with float32
// activations. The result is that of the decoded weights bit for bit: DotKernels::rows_bf16 of the same instruction
// set.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

// Rows of a segment whose non-zeros are stored as they are. What the row table says must have been checked.
struct BitmapRows {
  const uint8_t* bitmap = nullptr;     // row_bitmap_bytes a row, bit i % 8 of byte i / 8 for column i
  const uint8_t* row_table = nullptr;  // of each row the number of values up to its end, u32 each
  const uint8_t* values = nullptr;     // the non-zeros of all rows
  const uint8_t* values_end = nullptr;
  size_t columns = 0;
  size_t row_bitmap_bytes = 0;
};

struct BitmapDotKernels {
  // y[r] = sum over c of x[c] * w[r, c], for r in [begin, end); x as by DotKernels::arrange.
  void (*dot)(const BitmapRows& rows, size_t begin, size_t end, const float* x, float* y);
};

// The kernels of active_isa().
const BitmapDotKernels& bitmap_dot_kernels();

}  // namespace lpc
