// Products of many rows of activations: tiles of float32 weights, widened before, against float32 activations.
//
// Both lie row by row, so a sum runs along the vectors' lanes and is closed once a block of columns; each sum is the
// same whatever tile its row is in. Tiles are as large as there are registers for their sums: each vector of weights is
// then used kTileX times, each vector of activations kTileRows times, and multiplying is what takes the time.
#pragma once

#include "simd/dot/accumulate-inl.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kTileRows = 3;  // of weights
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr size_t kTileX = 8;  // of activations; 32 vector registers
#else
inline constexpr size_t kTileX = 4;
#endif

// Columns whose sums are closed at once. A few rows of them should fit the caches near the core, but closing sums takes
// time too, above all of long vectors (AMD Zen 4, 2048 columns instead of 512: AVX-512 12 % faster, AVX2 9 % slower).
inline constexpr size_t kTileColumns = LPC_VECTOR_BYTES == 64 ? 2048 : 1024;

struct TileOutput {
  float* y;  // y[i * stride + r]
  size_t stride;
  bool add;
};

template <size_t kRows, size_t kX>
inline void tile(const float* w, const float (*x)[kTileColumns], size_t columns, const TileOutput& out) {
  FloatVector sums[kX][kRows] = {};
  for (size_t c = 0; c < columns; c += kFloats) {
    FloatVector weights[kRows];
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) weights[r] = in_register(load_vector<FloatVector>(w + r * kTileColumns + c));
#pragma GCC unroll 8
    for (size_t i = 0; i < kX; ++i) {
      const FloatVector value = in_register(load_vector<FloatVector>(x[i] + c));
#pragma GCC unroll 8
      for (size_t r = 0; r < kRows; ++r) sums[i][r] += weights[r] * value;
    }
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < kX; ++i) {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      float& y = out.y[i * out.stride + r];
      const float sum = sum_lanes(sums[i][r]);
      y = out.add ? y + sum : sum;
    }
  }
}

// All rows of weights against kX rows of activations. These are copied, so that they lie together in the first-level
// cache: rows that are a power of two apart would share its sets.
template <size_t kX>
inline void tile_rows(const float* w, size_t rows, size_t columns, const float* x, size_t x_stride, TileOutput out) {
  alignas(64) float copied[kX][kTileColumns];
  const size_t whole = (columns + kFloats - 1) / kFloats * kFloats;
  for (size_t i = 0; i < kX; ++i) {
    std::memcpy(copied[i], x + i * x_stride, columns * sizeof(float));
    std::memset(copied[i] + columns, 0, (whole - columns) * sizeof(float));
  }
  for (; rows >= kTileRows; rows -= kTileRows, w += kTileRows * kTileColumns, out.y += kTileRows) {
    tile<kTileRows, kX>(w, copied, whole, out);
  }
  for (; rows > 0; --rows, w += kTileColumns, ++out.y) tile<1, kX>(w, copied, whole, out);
}

inline void tiles(const float* w, size_t rows, size_t columns, const float* x, size_t x_stride, size_t m, float* y,
                  size_t y_stride, bool add) {
  for (; m >= kTileX; m -= kTileX, x += kTileX * x_stride, y += kTileX * y_stride) {
    tile_rows<kTileX>(w, rows, columns, x, x_stride, {y, y_stride, add});
  }
  if constexpr (kTileX > 4) {
    if (m >= 4) {
      tile_rows<4>(w, rows, columns, x, x_stride, {y, y_stride, add});
      m -= 4, x += 4 * x_stride, y += 4 * y_stride;
    }
  }
  if (m >= 2) {
    tile_rows<2>(w, rows, columns, x, x_stride, {y, y_stride, add});
    m -= 2, x += 2 * x_stride, y += 2 * y_stride;
  }
  if (m > 0) tile_rows<1>(w, rows, columns, x, x_stride, {y, y_stride, add});
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
