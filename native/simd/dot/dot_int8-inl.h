// The INT8 product kernels, written once with GCC/Clang vector types and compiled by dot_int8_<isa>.cc for each
// instruction set. The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES.
//
// No templates of the standard library here: the linker could keep a copy that was compiled for this instruction set
// and use it everywhere.

#include <cstring>

#include "simd/dot/dot_int8.h"
#if LPC_VECTOR_BYTES >= 32
#include "simd/avx512_intrinsics.h"
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kLanes = LPC_VECTOR_BYTES / 4;
inline constexpr size_t kStep = 4 * kLanes;  // columns added to four sums, which hide the latency of an addition
inline constexpr size_t kBlock = 512;        // columns widened at a time when several rows of x share them
inline constexpr size_t kTileRows = 4;
inline constexpr size_t kTileX = 2;
inline constexpr size_t kNearBytes = 256;

typedef float FloatVector __attribute__((vector_size(LPC_VECTOR_BYTES)));
typedef int8_t ByteVector __attribute__((vector_size(LPC_VECTOR_BYTES / 4)));

inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

inline FloatVector load(const float* from) {
  FloatVector out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

inline FloatVector widened(const int8_t* from) {
#if LPC_VECTOR_BYTES == 64
  return (FloatVector)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif LPC_VECTOR_BYTES == 32
  return (FloatVector)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  ByteVector bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  return __builtin_convertvector(bytes, FloatVector);
#endif
}

// out[i] = widened(from + i * kLanes).
inline __attribute__((always_inline)) void widen_step(const int8_t* from, FloatVector (&out)[4]) {
#if defined(__aarch64__) && LPC_VECTOR_BYTES == 16
  const int8x16_t bytes = vld1q_s8(from);
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  out[0] = (FloatVector)vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  out[1] = (FloatVector)vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
  out[2] = (FloatVector)vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  out[3] = (FloatVector)vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
#else
  for (size_t i = 0; i < 4; ++i) out[i] = widened(from + i * kLanes);
#endif
}

inline float sum(FloatVector v) {
  float lanes[kLanes];
  std::memcpy(lanes, &v, sizeof lanes);
  for (size_t n = kLanes / 2; n > 0; n /= 2) {
    for (size_t i = 0; i < n; ++i) lanes[i] += lanes[i + n];
  }
  return lanes[0];
}

// Sums of x[c] * w[c] over some columns of one row: four vectors, and those beyond whole vectors.
struct Sums {
  FloatVector of[4] = {};
  float tail = 0;

  FloatVector all() const { return (of[0] + of[1]) + (of[2] + of[3]); }
};

// Adds n columns of kRows rows, k apart, which share the activations.
template <size_t kRows>
inline __attribute__((always_inline)) void add_columns(const int8_t* w, size_t k, const float* x, size_t n,
                                                       Sums* sums) {
  size_t c = 0;
  for (; c + kStep <= n; c += kStep) {
#pragma GCC unroll 4
    for (size_t r = 0; r < kRows; ++r) {
      const int8_t* const row = w + r * k + c;
      __builtin_prefetch(row + kNearBytes, 0, 3);
      __builtin_prefetch(row + kRows * k, 0, 2);  // the rows that come next
      FloatVector weights[4];
      widen_step(row, weights);
      for (size_t i = 0; i < 4; ++i) sums[r].of[i] += weights[i] * load(x + c + i * kLanes);
    }
  }
  for (; c + kLanes <= n; c += kLanes) {
    for (size_t r = 0; r < kRows; ++r) sums[r].of[0] += widened(w + r * k + c) * load(x + c);
  }
  for (; c < n; ++c) {
    for (size_t r = 0; r < kRows; ++r) sums[r].tail += static_cast<float>(w[r * k + c]) * x[c];
  }
}

// kRows rows from row `first` on.
template <size_t kRows>
inline void dot_rows(const Int8Rows& rows, size_t first, const float* x, float* y) {
  const size_t groups = rows.groups();
  const int8_t* const w = rows.weights + first * rows.k;
  const float* const scales = rows.scales + first * groups;
  FloatVector totals[kRows] = {};
  float tails[kRows] = {};
  for (size_t g = 0; g < groups; ++g) {
    const size_t c = g * rows.group;
    Sums sums[kRows];
    add_columns<kRows>(w + c, rows.k, x + c, smaller(rows.group, rows.k - c), sums);
    for (size_t r = 0; r < kRows; ++r) {
      totals[r] += scales[r * groups + g] * sums[r].all();
      tails[r] += scales[r * groups + g] * sums[r].tail;
    }
  }
  for (size_t r = 0; r < kRows; ++r) y[r] = sum(totals[r]) + tails[r];
}

void one(const Int8Rows& rows, size_t begin, size_t end, const float* x, float* y) {
  constexpr size_t kTogether = 4;
  size_t r = begin;
  for (; r + kTogether <= end; r += kTogether) dot_rows<kTogether>(rows, r, x, y + r);
  for (; r < end; ++r) dot_rows<1>(rows, r, x, y + r);
}

// out[0, count) = the weights of row r from column `first` on.
inline void dequantize_some(const Int8Rows& rows, size_t r, size_t first, size_t count, float* out) {
  const int8_t* w = rows.weights + r * rows.k;
  const float* scales = rows.scales + r * rows.groups();
  for (size_t c = first; c < first + count;) {
    const size_t end = smaller(first + count, (c / rows.group + 1) * rows.group);
    const float scale = scales[c / rows.group];
    for (; c + kLanes <= end; c += kLanes) {
      const FloatVector weights = widened(w + c) * scale;
      std::memcpy(out + c - first, &weights, sizeof weights);
    }
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
