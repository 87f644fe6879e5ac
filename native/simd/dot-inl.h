// The product kernels, written once with GCC/Clang vector types and compiled by dot_<isa>.cc for each instruction
// set. The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES; see accumulate-inl.h.

#include <cstring>

#include "simd/accumulate-inl.h"
#include "simd/dot.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kLanes = LPC_VECTOR_BYTES / 4;
inline constexpr size_t kBlock = 512;  // columns widened at a time when several rows of x share them
inline constexpr size_t kTileRows = 4;
inline constexpr size_t kTileX = 2;

inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

inline void clear(float* y, size_t y_stride, size_t m, size_t begin, size_t end) {
  for (size_t i = 0; i < m; ++i) std::memset(y + i * y_stride + begin, 0, (end - begin) * sizeof(float));
}

inline FloatVector load(const float* in) { return load_vector<FloatVector>(in); }

inline float widen_bf16(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float out;
  std::memcpy(&out, &word, 4);
  return out;
}

// Exact for every pattern, subnormals and NaN payloads too: the exponent is rebased by a product with 2^112.
inline float widen_fp16(uint16_t bits) {
  const uint32_t magnitude = static_cast<uint32_t>(bits & 0x7fff) << 13;
  float value;
  std::memcpy(&value, &magnitude, 4);
  value *= 0x1p112f;
  uint32_t word;
  std::memcpy(&word, &value, 4);
  const uint32_t special = (bits & 0x7c00) == 0x7c00 ? 0x7f800000u | magnitude : word;
  word = special | static_cast<uint32_t>(bits & 0x8000) << 16;
  std::memcpy(&value, &word, 4);
  return value;
}

inline void widen(uint32_t dtype, const void* in, size_t count, float* out) {
  switch (dtype) {
    case LPC_DTYPE_BF16:
      for (size_t i = 0; i < count; ++i) out[i] = widen_bf16(static_cast<const uint16_t*>(in)[i]);
      return;
    case LPC_DTYPE_FP16:
      for (size_t i = 0; i < count; ++i) out[i] = widen_fp16(static_cast<const uint16_t*>(in)[i]);
      return;
    case LPC_DTYPE_FP32: std::memcpy(out, in, count * 4); return;
    default:
      for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(static_cast<const int8_t*>(in)[i]);
  }
}

inline float sum(FloatVector v) {
  float total = 0;
  for (size_t lane = 0; lane < kLanes; ++lane) total += v[lane];
  return total;
}

inline float dot_fp32(const float* w, const float* x, size_t k) {
  FloatVector a0{}, a1{}, a2{}, a3{};
  size_t i = 0;
  for (; i + 4 * kLanes <= k; i += 4 * kLanes) {
    a0 += load(w + i) * load(x + i);
    a1 += load(w + i + kLanes) * load(x + i + kLanes);
    a2 += load(w + i + 2 * kLanes) * load(x + i + 2 * kLanes);
    a3 += load(w + i + 3 * kLanes) * load(x + i + 3 * kLanes);
  }
  for (; i + kLanes <= k; i += kLanes) a0 += load(w + i) * load(x + i);
  float total = sum((a0 + a1) + (a2 + a3));
  for (; i < k; ++i) total += w[i] * x[i];
  return total;
}

// acc[r][i] += the product of `columns` columns of tile row r with x row i.
inline void tile(const float (*w)[kBlock], const float* x, size_t x_stride, size_t columns, float (*acc)[kTileX]) {
  FloatVector a[kTileRows][kTileX] = {};
  size_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) {
    const FloatVector x0 = load(x + c);
    const FloatVector x1 = load(x + x_stride + c);
    for (size_t r = 0; r < kTileRows; ++r) {
      const FloatVector weight = load(w[r] + c);
      a[r][0] += weight * x0;
      a[r][1] += weight * x1;
    }
  }
  for (size_t r = 0; r < kTileRows; ++r) {
    for (size_t i = 0; i < kTileX; ++i) {
      acc[r][i] += sum(a[r][i]);
      for (size_t tail = c; tail < columns; ++tail) acc[r][i] += w[r][tail] * x[i * x_stride + tail];
    }
  }
}

// One pair of x rows (or a single one, taken twice) against the widened tile.
inline void tile_outputs(const float (*w)[kBlock], size_t rows, const float* x, size_t k, size_t columns, size_t pair,
                         float* y, size_t y_stride) {
  float acc[kTileRows][kTileX] = {};
  tile(w, x, pair == kTileX ? k : 0, columns, acc);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < pair; ++i) y[i * y_stride + r] += acc[r][i];
  }
}

inline void rows_batch(uint32_t dtype, const uint8_t* w, size_t element_bytes, size_t k, size_t row_begin,
                       size_t row_end, const float* x, size_t m, float* y, size_t y_stride) {
  alignas(64) float widened[kTileRows][kBlock];
  clear(y, y_stride, m, row_begin, row_end);
  for (size_t row = row_begin; row < row_end; row += kTileRows) {
    const size_t rows = smaller(kTileRows, row_end - row);
    for (size_t c = 0; c < k; c += kBlock) {
      const size_t columns = smaller(kBlock, k - c);
      for (size_t r = 0; r < kTileRows; ++r) {
        const size_t source = row + smaller(r, rows - 1);  // a short tile repeats its last row
        widen(dtype, w + (source * k + c) * element_bytes, columns, widened[r]);
      }
      for (size_t i = 0; i < m; i += kTileX) {
        tile_outputs(widened, rows, x + i * k + c, k, columns, smaller(kTileX, m - i), y + i * y_stride + row,
                     y_stride);
      }
    }
  }
}

inline size_t element_bytes(uint32_t dtype) { return dtype == LPC_DTYPE_FP32 ? 4 : (dtype == LPC_DTYPE_INT8 ? 1 : 2); }

void rows(uint32_t dtype, const void* w, size_t k, size_t row_begin, size_t row_end, const float* x, size_t m, float* y,
          size_t y_stride) {
  if (m == 1 && dtype == LPC_DTYPE_FP32) {
    const auto* weights = static_cast<const float*>(w);
    for (size_t r = row_begin; r < row_end; ++r) y[r] = dot_fp32(weights + r * k, x, k);
  } else {
    rows_batch(dtype, static_cast<const uint8_t*>(w), element_bytes(dtype), k, row_begin, row_end, x, m, y, y_stride);
  }
}

void columns(uint32_t dtype, const void* w, size_t k, size_t n, size_t column_begin, size_t column_end, const float* x,
             size_t x_stride, size_t m, float* y) {
  alignas(64) float widened[kBlock];
  for (size_t c = column_begin; c < column_end; c += kBlock) {
    const size_t count = smaller(kBlock, column_end - c);
    for (size_t r = 0; r < k; ++r) {
      widen(dtype, static_cast<const uint8_t*>(w) + (r * n + c) * element_bytes(dtype), count, widened);
      for (size_t i = 0; i < m; ++i) {
        const float factor = x[i * x_stride + r];
        float* out = y + i * n + c;
        for (size_t j = 0; j < count; ++j) out[j] += factor * widened[j];
      }
    }
  }
}

void rows_bf16(const void* w, size_t k, size_t row_begin, size_t row_end, const float* x, float* y) {
  const auto* weights = static_cast<const uint8_t*>(w);
  constexpr size_t kTogether = 8;
  size_t r = row_begin;
  for (; r + kTogether <= row_end; r += kTogether) dot_rows<kTogether>(weights + 2 * r * k, k, x, y + r);
  for (; r < row_end; ++r) dot_rows<1>(weights + 2 * r * k, k, x, y + r);
}

uint64_t read(const void* lines, size_t bytes) {
  const auto* from = static_cast<const uint8_t*>(lines);
  WordVector sums[4] = {};
  constexpr size_t kStep = sizeof sums > 64 ? sizeof sums : 64;
  for (size_t at = 0; at + kStep <= bytes; at += kStep) {
    for (size_t i = 0; i < 4; ++i) sums[i] ^= load_vector<WordVector>(from + at + i * LPC_VECTOR_BYTES);
  }
  const WordVector all = (sums[0] ^ sums[1]) ^ (sums[2] ^ sums[3]);
  uint64_t total = 0;
  for (size_t i = 0; i < kLanes; ++i) total ^= static_cast<uint64_t>(all[i]) << (i % 2 * 32);
  return total;
}

extern const DotKernels kernels;
const DotKernels kernels = {rows, arrange_activations, rows_bf16, columns, read, widen};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
