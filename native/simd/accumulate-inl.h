// One dot product of bf16 weights with float32 activations, in the one order of summation that every product of one
// instruction set uses: so a product is the same bit for bit whether the weights come decoded or packed.
//
// Columns come in groups of 64. Vectors of weights are taken as 32-bit lanes, each a pair of neighbouring columns: the
// even column is the low half. The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES; it must be compiled
// with -ffp-contract=fast, so that each product is added by one fused multiply-add where the instruction set has it.
//
// No templates of the standard library here: the linker could keep a copy that was compiled for this instruction set
// and use it everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kFloats = LPC_VECTOR_BYTES / 4;
inline constexpr size_t kHalves = LPC_VECTOR_BYTES / 2;   // weights a vector
inline constexpr size_t kGroup = 64;                      // columns
inline constexpr size_t kParts = kGroup / (2 * kHalves);  // pairs of vectors a group

typedef float FloatVector __attribute__((vector_size(LPC_VECTOR_BYTES)));
typedef uint32_t WordVector __attribute__((vector_size(LPC_VECTOR_BYTES)));

template <typename Vector>
inline Vector load_vector(const void* from) {
  Vector out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

// 64 lines ahead, into the first-level cache: keeps a core at the speed at which it can read memory. (A second prefetch
// further ahead into the second-level cache takes more slots than it frees.) Addresses past the end are harmless. GCC
// takes a call of this for one without effects and leaves it out, unless it is inlined at once.
inline __attribute__((always_inline)) void prefetch_line(const void* line) {
  __builtin_prefetch(static_cast<const char*>(line) + 4096, 0, 3);
}

struct Dot {
  FloatVector even_low{}, odd_low{}, even_high{}, odd_high{};

  // `low` of the first 32 columns of the group, `high` of the last 32; x as arranged for them.
  void add(WordVector low, WordVector high, const float* x) {
    even_low += (FloatVector)(low << 16) * load_vector<FloatVector>(x);
    odd_low += (FloatVector)(low & 0xFFFF0000u) * load_vector<FloatVector>(x + kFloats);
    even_high += (FloatVector)(high << 16) * load_vector<FloatVector>(x + 2 * kFloats);
    odd_high += (FloatVector)(high & 0xFFFF0000u) * load_vector<FloatVector>(x + 3 * kFloats);
  }

  // 64 columns from memory.
  void add_group(const void* weights, const float* x) {
    const auto* bytes = static_cast<const uint8_t*>(weights);
    for (size_t part = 0; part < kParts; ++part) {
      add(load_vector<WordVector>(bytes + part * LPC_VECTOR_BYTES),
          load_vector<WordVector>(bytes + kGroup + part * LPC_VECTOR_BYTES), x + part * 4 * kFloats);
    }
  }

  float sum() const {
    const FloatVector all = (even_low + odd_low) + (even_high + odd_high);
    float lanes[kFloats];
    std::memcpy(lanes, &all, sizeof lanes);
    for (size_t n = kFloats / 2; n > 0; n /= 2) {
      for (size_t i = 0; i < n; ++i) lanes[i] += lanes[i + n];
    }
    return lanes[0];
  }
};

// Activations in the order of Dot::add; `arranged` has room for k rounded up to whole groups, the rest becomes zero.
inline void arrange_activations(const float* x, size_t k, float* arranged) {
  for (size_t group = 0; group < k; group += kGroup, arranged += kGroup) {
    float columns[kGroup] = {};
    std::memcpy(columns, x + group, (k - group < kGroup ? k - group : kGroup) * sizeof(float));
    float* out = arranged;
    for (size_t part = 0; part < kParts; ++part) {
      for (size_t half = 0; half < 2; ++half) {
        const float* from = columns + half * kGroup / 2 + part * kHalves;
        for (size_t odd = 0; odd < 2; ++odd) {
          for (size_t i = 0; i < kFloats; ++i) *out++ = from[2 * i + odd];
        }
      }
    }
  }
}

// One row of decoded weights.
inline float dot_row(const uint8_t* weights, size_t k, const float* x) {
  Dot dot;
  size_t c = 0;
  for (; c + kGroup <= k; c += kGroup) {
    prefetch_line(weights + 2 * c);
    prefetch_line(weights + 2 * c + 64);
    dot.add_group(weights + 2 * c, x + c);
  }
  if (c < k) {
    uint16_t tail[kGroup] = {};
    std::memcpy(tail, weights + 2 * c, 2 * (k - c));
    dot.add_group(tail, x + c);
  }
  return dot.sum();
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
