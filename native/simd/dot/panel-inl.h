// Products of many rows of activations: panels of float32 weights, widened and transposed before, against tiles of
// float32 activations. A panel is cut into strips of kStripRows rows of weights.
//
// A vector holds neighbouring outputs, so a sum runs along the columns within one lane and needs no closing; each sum
// is the same whatever tile its row is in. There are as many sums as registers allow: each vector of weights is then
// used kPanelBatch times, each activation kPanelVectors times, and multiplying is what takes the time.
#pragma once

#include "simd/dot/accumulate-inl.h"
#include "simd/dot/dot.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kPanelVectors = 2;  // of outputs
inline constexpr size_t kStripRows = kPanelVectors * kFloats;
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr size_t kPanelBatch = 12;  // of activations; 32 vector registers
#else
inline constexpr size_t kPanelBatch = 6;
#endif

// ---- panels

// Lanes of two vectors, taking turns: those of the lower halves, those of the upper ones.
#if !__has_builtin(__builtin_shufflevector)  // GCC 11
inline FloatVector zip(FloatVector a, FloatVector b, size_t first) {
  float lanes[kFloats];
  for (size_t i = 0; i < kFloats; ++i) lanes[i] = i % 2 == 0 ? a[first + i / 2] : b[first + i / 2];
  return load_vector<FloatVector>(lanes);
}
inline FloatVector zip_low(FloatVector a, FloatVector b) { return zip(a, b, 0); }
inline FloatVector zip_high(FloatVector a, FloatVector b) { return zip(a, b, kFloats / 2); }
#elif LPC_VECTOR_BYTES == 64
inline FloatVector zip_low(FloatVector a, FloatVector b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline FloatVector zip_high(FloatVector a, FloatVector b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#elif LPC_VECTOR_BYTES == 32
inline FloatVector zip_low(FloatVector a, FloatVector b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
inline FloatVector zip_high(FloatVector a, FloatVector b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
#else
inline FloatVector zip_low(FloatVector a, FloatVector b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
inline FloatVector zip_high(FloatVector a, FloatVector b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
#endif

// Vector r of `in`, in_stride apart, becomes lane r of the vectors at `out`, kStripRows apart.
inline __attribute__((always_inline)) void transpose(const float* in, size_t in_stride, float* out) {
  FloatVector v[kFloats], zipped[kFloats];
  for (size_t r = 0; r < kFloats; ++r) v[r] = load_vector<FloatVector>(in + r * in_stride);
#pragma GCC unroll 4
  for (size_t n = 1; n < kFloats; n *= 2) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kFloats / 2; ++i) {
      zipped[2 * i] = zip_low(v[i], v[i + kFloats / 2]);
      zipped[2 * i + 1] = zip_high(v[i], v[i + kFloats / 2]);
    }
#pragma GCC unroll 16
    for (size_t i = 0; i < kFloats; ++i) v[i] = zipped[i];
  }
#pragma GCC unroll 16
  for (size_t c = 0; c < kFloats; ++c) std::memcpy(out + c * kStripRows, &v[c], sizeof v[c]);
}

// `rows` rows of `columns` weights, row_bytes apart, as strips of kStripRows rows: column after column, the weights
// of all its rows; lanes of missing rows may hold anything, as put() leaves them out. `widen` is that of DotKernels.
template <typename Widen>
inline void fill_panel(const Widen& widen, const uint8_t* w, size_t rows, size_t row_bytes, size_t element_bytes,
                       size_t columns, float* panel) {
  constexpr size_t kSome = 64;  // columns at a time
  alignas(64) float widened[kFloats][kSome];
  for (size_t first = 0; first < rows; first += kFloats) {
    float* const out = panel + first / kStripRows * kStripRows * kPanelColumns + first % kStripRows;
    for (size_t c = 0; c < columns; c += kSome) {
      const size_t some = columns - c < kSome ? columns - c : kSome;
      for (size_t r = 0; r < kFloats; ++r) {
        const size_t known = first + r < rows ? some : 0;
        if (known > 0) widen(w + (first + r) * row_bytes + c * element_bytes, known, widened[r]);
        std::memset(widened[r] + known, 0, (kSome - known) * sizeof(float));
      }
      for (size_t i = 0; i < some; i += kFloats) transpose(&widened[0][i], kSome, out + (c + i) * kStripRows);
    }
  }
}

// ---- tiles

struct PanelOutput {
  float* y;  // y[i * stride + r]
  size_t stride;
  size_t outputs;  // at most kStripRows
  bool add;

  // Outputs are far apart, and needed when the sums are complete.
  inline __attribute__((always_inline)) void prefetch(size_t rows) const {
    for (size_t i = 0; i < rows; ++i) {
      for (size_t r = 0; r < kStripRows; r += 16) __builtin_prefetch(y + i * stride + r, 1, 3);
    }
  }

  inline __attribute__((always_inline)) void put(size_t i, const FloatVector (&sums)[kPanelVectors]) const {
    float all[kStripRows];
    float* const to = y + i * stride;
    if (outputs == kStripRows) {
#pragma GCC unroll 2
      for (size_t v = 0; v < kPanelVectors; ++v) {
        const FloatVector sum = add ? load_vector<FloatVector>(to + v * kFloats) + sums[v] : sums[v];
        std::memcpy(to + v * kFloats, &sum, sizeof sum);
      }
      return;
    }
    std::memcpy(all, &sums, sizeof all);
    for (size_t r = 0; r < outputs; ++r) to[r] = add ? to[r] + all[r] : all[r];
  }
};

template <size_t kRows>
inline void strip_tile(const float* strip, size_t columns, const float* x, const PanelOutput& out) {
  out.prefetch(kRows);
  FloatVector sums[kRows][kPanelVectors] = {};
  for (size_t c = 0; c < columns; ++c) {
    FloatVector weights[kPanelVectors];
#pragma GCC unroll 2
    for (size_t v = 0; v < kPanelVectors; ++v) {
      weights[v] = in_register(load_vector<FloatVector>(strip + c * kStripRows + v * kFloats));
    }
#pragma GCC unroll 12
    for (size_t i = 0; i < kRows; ++i) {
      const FloatVector value = x[i * kPanelStride + c] - FloatVector{};  // in every lane
#pragma GCC unroll 2
      for (size_t v = 0; v < kPanelVectors; ++v) sums[i][v] += weights[v] * value;
    }
  }
#pragma GCC unroll 12
  for (size_t i = 0; i < kRows; ++i) out.put(i, sums[i]);
}

template <size_t kRows>
inline void strip_rows(const float* strip, size_t columns, const float*& x, size_t& m, PanelOutput& out) {
  for (; m >= kRows; m -= kRows, x += kRows * kPanelStride, out.y += kRows * out.stride) {
    strip_tile<kRows>(strip, columns, x, out);
  }
}

inline void multiply_panel(const float* panel, size_t rows, size_t columns, const float* x, size_t m, float* y,
                           size_t y_stride, bool add) {
  for (size_t r = 0; r < rows; r += kStripRows, panel += kStripRows * kPanelColumns) {
    PanelOutput out{y + r, y_stride, rows - r < kStripRows ? rows - r : kStripRows, add};
    const float* some_x = x;
    size_t some_m = m;
    strip_rows<kPanelBatch>(panel, columns, some_x, some_m, out);
    if constexpr (kPanelBatch > 8) strip_rows<8>(panel, columns, some_x, some_m, out);
    strip_rows<4>(panel, columns, some_x, some_m, out);
    strip_rows<2>(panel, columns, some_x, some_m, out);
    strip_rows<1>(panel, columns, some_x, some_m, out);
  }
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
