#include "matmul/panel.h"

#include <algorithm>

#include "codecs/layout.h"
#include "matmul/scratch.h"
#include "simd/dot.h"

namespace lpc {
namespace {

constexpr size_t kLanes = 16;  // a multiple of those of any instruction set

// `rows` rows of `count` columns from column `first` on.
void widen_panel(uint32_t dtype, const uint8_t* w, size_t rows, size_t columns, size_t first, size_t count,
                 float* panel, size_t panel_stride) {
  const size_t element_bytes = dtype_bytes(dtype);
  const auto widen = dot_kernels().widen;
  for (size_t r = 0; r < rows; ++r, panel += panel_stride) {
    widen(dtype, w + (r * columns + first) * element_bytes, count, panel);
    std::fill(panel + count, panel + (count + kLanes - 1) / kLanes * kLanes, 0.0f);
  }
}

}  // namespace

void multiply_panels(uint32_t dtype, const void* w, size_t rows, size_t columns, const float* x, size_t m, float* y,
                     size_t y_stride) {
  thread_local Scratch scratch;
  const DotKernels& kernels = dot_kernels();
  const size_t tile_columns = kernels.tile_columns;
  float* const panel = scratch.get<float>(kPanelRows * tile_columns);
  const auto* weights = static_cast<const uint8_t*>(w);
  for (size_t row = 0; row < rows; row += kPanelRows) {
    const size_t panel_rows = std::min(kPanelRows, rows - row);
    for (size_t c = 0; c == 0 || c < columns; c += tile_columns) {
      const size_t count = std::min(tile_columns, columns - c);
      widen_panel(dtype, weights + row * columns * dtype_bytes(dtype), panel_rows, columns, c, count, panel,
                  tile_columns);
      kernels.tiles(panel, panel_rows, count, x + c, columns, m, y + row, y_stride, c != 0);
    }
  }
}

}  // namespace lpc
