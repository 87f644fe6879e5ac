#include "matmul/batch.h"

#include <algorithm>

#include "codecs/layout.h"
#include "codecs/tensor.h"
#include "matmul/scratch.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace {

constexpr size_t kLanes = 16;  // a multiple of those of any instruction set

// `rows` rows of `count` columns from column `first` on.
void widen_rows(uint32_t dtype, const uint8_t* w, size_t rows, size_t columns, size_t first, size_t count,
                float* widened, size_t stride) {
  const size_t element_bytes = dtype_bytes(dtype);
  const auto widen = dot_kernels().widen;
  for (size_t r = 0; r < rows; ++r, widened += stride) {
    widen(dtype, w + (r * columns + first) * element_bytes, count, widened);
    std::fill(widened + count, widened + (count + kLanes - 1) / kLanes * kLanes, 0.0f);
  }
}

}  // namespace

void multiply_batch(uint32_t dtype, const void* w, size_t rows, size_t columns, const float* x, size_t m, float* y,
                    size_t y_stride) {
  thread_local Scratch scratch;
  const DotKernels& kernels = dot_kernels();
  const size_t tile_columns = kernels.tile_columns;
  float* const widened = scratch.get<float>(kBatchPanelRows * tile_columns);
  const auto* weights = static_cast<const uint8_t*>(w);
  for (size_t row = 0; row < rows; row += kBatchPanelRows) {
    const size_t some_rows = std::min(kBatchPanelRows, rows - row);
    for (size_t c = 0; c == 0 || c < columns; c += tile_columns) {
      const size_t count = std::min(tile_columns, columns - c);
      widen_rows(dtype, weights + row * columns * dtype_bytes(dtype), some_rows, columns, c, count, widened,
                 tile_columns);
      kernels.tiles(widened, some_rows, count, x + c, columns, m, y + row, y_stride, c != 0);
    }
  }
}

}  // namespace lpc
