// Kernels of the `bitmap` codec (docs/format.md, 4.4): non-zero elements to their places among zeros.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

struct BitmapKernels {
  // Writes n elements to `out`: where bit i of the bitmap (bit i % 8 of byte i / 8) is 1 the next one of `values`, else
  // 0. There are as many values as bits; bits beyond n are ignored. Returns how many values were taken.
  // Indexed by the size of an element in bytes: 1, 2 or 4.
  using Expand = size_t (*)(const uint8_t* bitmap, size_t n, const uint8_t* values, const uint8_t* values_end,
                            uint8_t* out);
  Expand expand[5];
};

// The kernels of active_isa().
const BitmapKernels& bitmap_kernels();

}  // namespace lpc
