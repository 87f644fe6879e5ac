#include "matmul/panel.h"

#include <algorithm>
#include <cstring>

#include "codecs/layout.h"
#include "codecs/tensor.h"
#include "matmul/scratch.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace {

// The tile of rows from `i` on, columns from `c` on: tiles of the same columns lie one behind the other.
size_t tile_offset(size_t i, size_t c, size_t m) {
  const size_t batch = dot_kernels().panel_batch;
  return (c / kPanelColumns * ((m + batch - 1) / batch) * batch + i) * kPanelStride;
}

}  // namespace

const float* tiled(const float* x, size_t m, size_t k, const Loop& loop) {
  thread_local Scratch scratch;
  const size_t chunks = (k + kPanelColumns - 1) / kPanelColumns;
  float* const out = scratch.get<float>(tile_offset(0, chunks * kPanelColumns, m));
  const size_t batch = dot_kernels().panel_batch;
  const auto one_tile_of_rows = [&](size_t task) {
    const size_t end = std::min(m, (task + 1) * batch);
    for (size_t c = 0; c < k; c += kPanelColumns) {
      const size_t bytes = std::min(kPanelColumns, k - c) * sizeof(float);
      for (size_t i = task * batch; i < end; ++i) std::memcpy(out + tile_offset(i, c, m), x + i * k + c, bytes);
    }
  };
  const size_t tasks = (m + batch - 1) / batch;
  if (tasks <= 2) {
    for (size_t task = 0; task < tasks; ++task) one_tile_of_rows(task);  // quicker than waking a thread
  } else {
    for_each(loop, tasks, one_tile_of_rows);
  }
  return out;
}

void multiply_panels(uint32_t dtype, const void* w, size_t rows, size_t columns, const float* tiled_x, size_t m,
                     float* y, size_t y_stride) {
  thread_local Scratch scratch;
  const DotKernels& kernels = dot_kernels();
  float* const panel = scratch.get<float>(kPanelRows * kPanelColumns);
  const auto* const weights = static_cast<const uint8_t*>(w);
  const size_t row_bytes = columns * dtype_bytes(dtype);
  for (size_t row = 0; row < rows; row += kPanelRows) {
    const size_t panel_rows = std::min(kPanelRows, rows - row);
    for (size_t c = 0; c == 0 || c < columns; c += kPanelColumns) {
      const size_t count = std::min(kPanelColumns, columns - c);
      kernels.fill_panel(dtype, weights + row * row_bytes + c * dtype_bytes(dtype), panel_rows, row_bytes, count,
                         panel);
      for (size_t i = 0; i < m; i += kernels.panel_batch) {
        kernels.multiply_panel(panel, panel_rows, count, tiled_x + tile_offset(i, c, m),
                               std::min(kernels.panel_batch, m - i), y + i * y_stride + row, y_stride, c != 0);
      }
    }
  }
}

}  // namespace lpc
