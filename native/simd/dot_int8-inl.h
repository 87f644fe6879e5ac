// The INT8 product kernels, written once with GCC/Clang vector types and compiled by dot_int8_<isa>.cc for each
// instruction set. The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES.
//
// No templates of the standard library here: the linker could keep a copy that was compiled for this instruction set
// and use it everywhere.

#include <cstring>

#include "simd/dot_int8.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kLanes = LPC_VECTOR_BYTES / 4;
inline constexpr size_t kStep = 4 * kLanes;  // columns added to four sums, which hide the latency of an addition
inline constexpr size_t kBlock = 512;        // columns widened at a time when several rows of x share them
inline constexpr size_t kTileRows = 4;
inline constexpr size_t kTileX = 2;
inline constexpr size_t kPrefetchBytes = 4096;

typedef float FloatVector __attribute__((vector_size(LPC_VECTOR_BYTES)));
typedef int8_t ByteVector __attribute__((vector_size(LPC_VECTOR_BYTES / 4)));

inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

inline FloatVector load(const float* from) {
  FloatVector out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

inline FloatVector widened(const int8_t* from) {
  ByteVector bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, FloatVector);
}

inline float sum(FloatVector v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof lanes);
  for (size_t n = kLanes / 2; n > 0; n /= 2) {
    for (size_t i = 0; i < n; ++i) lanes[i] += lanes[i + n];
  }
  return lanes[0];
}

// The sum of x[c] * w[c] over n columns as a vector of partial sums; those beyond whole vectors go to `tail`.
inline __attribute__((always_inline)) FloatVector partial_sums(const int8_t* w, const float* x, size_t n, float& tail) {
  FloatVector a0{}, a1{}, a2{}, a3{};
  size_t c = 0;
  for (; c + kStep <= n; c += kStep) {
    __builtin_prefetch(w + c + kPrefetchBytes, 0, 3);
    a0 += widened(w + c) * load(x + c);
    a1 += widened(w + c + kLanes) * load(x + c + kLanes);
    a2 += widened(w + c + 2 * kLanes) * load(x + c + 2 * kLanes);
    a3 += widened(w + c + 3 * kLanes) * load(x + c + 3 * kLanes);
  }
  for (; c + kLanes <= n; c += kLanes) a0 += widened(w + c) * load(x + c);
  tail = 0;
  for (; c < n; ++c) tail += static_cast<float>(w[c]) * x[c];
  return (a0 + a1) + (a2 + a3);
}

inline float dot_row(const int8_t* w, const float* scales, size_t k, size_t group, const float* x) {
  FloatVector sums{};
  float tails = 0;
  for (size_t c = 0; c < k; c += group, ++scales) {
    float tail;
    sums += *scales * partial_sums(w + c, x + c, smaller(group, k - c), tail);
    tails += *scales * tail;
  }
  return sum(sums) + tails;
}

void one(const Int8Rows& rows, size_t begin, size_t end, const float* x, float* y) {
  const size_t groups = rows.groups();
  for (size_t r = begin; r < end; ++r) {
    y[r] = dot_row(rows.weights + r * rows.k, rows.scales + r * groups, rows.k, rows.group, x);
  }
}

// out[0, count) = the weights of row r from column `first` on.
inline void dequantize_some(const Int8Rows& rows, size_t r, size_t first, size_t count, float* out) {
  const int8_t* w = rows.weights + r * rows.k;
  const float* scales = rows.scales + r * rows.groups();
  for (size_t c = first; c < first + count;) {
    const size_t end = smaller(first + count, (c / rows.group + 1) * rows.group);
    const float scale = scales[c / rows.group];
    for (; c < end; ++c) out[c - first] = static_cast<float>(w[c]) * scale;
  }
}

void dequantize(const Int8Rows& rows, size_t r, float* out) { dequantize_some(rows, r, 0, rows.k, out); }

// y[i * y_stride + r] += the product of `columns` columns of tile row r with row i of x, for i in [0, pair).
inline void tile_outputs(const float (*w)[kBlock], size_t tile_rows, const float* x, size_t k, size_t columns,
                         size_t pair, float* y, size_t y_stride) {
  FloatVector a[kTileRows][kTileX] = {};
  const float* second = x + (pair == kTileX ? k : 0);  // a single row of x is taken twice
  size_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    const FloatVector x0 = load(x + c), x1 = load(second + c);
    for (size_t r = 0; r < kTileRows; ++r) {
      const FloatVector weight = load(w[r] + c);
      a[r][0] += weight * x0;
      a[r][1] += weight * x1;
    }
  }
  for (size_t r = 0; r < tile_rows; ++r) {
    for (size_t i = 0; i < pair; ++i) {
      float total = sum(a[r][i]);
      for (size_t tail = c; tail < columns; ++tail) total += w[r][tail] * x[i * k + tail];
      y[i * y_stride + r] += total;
    }
  }
}

void several(const Int8Rows& rows, size_t begin, size_t end, const float* x, size_t m, float* y, size_t y_stride) {
  alignas(64) float tile[kTileRows][kBlock];
  const size_t k = rows.k;
  for (size_t i = 0; i < m; ++i) std::memset(y + i * y_stride + begin, 0, (end - begin) * sizeof(float));
  for (size_t row = begin; row < end; row += kTileRows) {
    const size_t tile_rows = smaller(kTileRows, end - row);
    for (size_t c = 0; c < k; c += kBlock) {
      const size_t columns = smaller(kBlock, k - c);
      for (size_t r = 0; r < kTileRows; ++r) {
        dequantize_some(rows, row + smaller(r, tile_rows - 1), c, columns, tile[r]);  // a short tile repeats a row
      }
      for (size_t i = 0; i < m; i += kTileX) {
        tile_outputs(tile, tile_rows, x + i * k + c, k, columns, smaller(kTileX, m - i), y + i * y_stride + row,
                     y_stride);
      }
    }
  }
}

extern const Int8Kernels kernels;
const Int8Kernels kernels = {one, several, dequantize};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
