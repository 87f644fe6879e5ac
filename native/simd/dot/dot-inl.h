// The product kernels, written once with GCC/Clang vector types and compiled by dot_<isa>.cc for each instruction
// set. The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES; see accumulate-inl.h.

#include <cstring>

#include "simd/dot/accumulate-inl.h"
#include "simd/dot/dot.h"
#include "simd/dot/panel-inl.h"
#include "simd/dot/tile-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kLanes = LPC_VECTOR_BYTES / 4;
inline constexpr size_t kBlock = 512;  // columns widened at a time when several rows of x share them

inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

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

// Written with vectors: the compiler does not see that the loop over widen_bf16 is one.
inline void widen_all_bf16(const uint16_t* in, size_t count, float* out) {
  typedef uint16_t HalfVector __attribute__((vector_size(LPC_VECTOR_BYTES / 2)));
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const WordVector words = __builtin_convertvector(load_vector<HalfVector>(in + i), WordVector) << 16;
    std::memcpy(out + i, &words, sizeof words);
  }
  for (; i < count; ++i) out[i] = widen_bf16(in[i]);
}

inline void widen(uint32_t dtype, const void* in, size_t count, float* out) {
  switch (dtype) {
    case LPC_DTYPE_BF16: return widen_all_bf16(static_cast<const uint16_t*>(in), count, out);
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

inline size_t element_bytes(uint32_t dtype) { return dtype == LPC_DTYPE_FP32 ? 4 : (dtype == LPC_DTYPE_INT8 ? 1 : 2); }

void widen_panel(uint32_t dtype, const void* w, size_t rows, size_t row_bytes, size_t columns, float* out) {
  fill_panel([dtype](const void* in, size_t count, float* to) { widen(dtype, in, count, to); },
             static_cast<const uint8_t*>(w), rows, row_bytes, element_bytes(dtype), columns, out);
}

void rows_fp32(const float* w, size_t k, size_t row_begin, size_t row_end, const float* x, float* y) {
  for (size_t r = row_begin; r < row_end; ++r) y[r] = dot_fp32(w + r * k, x, k);
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
  size_t r = row_begin;
  if (k > kLongRow) {
    for (; r + kRowsTogether <= row_end; r += kRowsTogether) dot_long_rows(weights + 2 * r * k, k, x, y + r);
  }
  for (; r < row_end; ++r) y[r] = dot_row(weights + 2 * r * k, k, x);
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
const DotKernels kernels = {arrange_activations, rows_bf16,   rows_fp32, tiles, kTileColumns, widen_panel,
                            multiply_panel,      kPanelBatch, columns,   read,  widen};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
