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
inline constexpr size_t kHalves = LPC_VECTOR_BYTES / 2;     // weights a vector
inline constexpr size_t kGroup = 64;                        // columns
inline constexpr size_t kParts = kGroup / (2 * kHalves);    // pairs of vectors a group
inline constexpr size_t kChains = kParts < 2 ? kParts : 2;  // sets of sums, so that additions wait less for each other

typedef float FloatVector __attribute__((vector_size(LPC_VECTOR_BYTES)));
typedef uint32_t WordVector __attribute__((vector_size(LPC_VECTOR_BYTES)));

template <typename Vector>
inline Vector load_vector(const void* from) {
  Vector out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

// Keeps a loaded vector: GCC would rather load it once for each use. And keeps the order of loads: rows of bf16 whose
// vectors were loaded in another order than they lie in memory came at 13 GB/s instead of 29, as the hardware then did
// not prefetch them (AMD Zen 4).
template <typename Vector>
inline __attribute__((always_inline)) Vector in_register(Vector v) {
#if defined(__AVX512F__)
  asm volatile("" : "+v"(v));
#elif defined(__x86_64__)
  asm volatile("" : "+x"(v));
#elif defined(__aarch64__)
  asm volatile("" : "+w"(v));
#endif
  return v;
}

// Prefetches. GCC takes a call of these for one without effects and leaves it out, unless it is inlined at once.
// Addresses past the end are harmless.
inline __attribute__((always_inline)) void prefetch_near(const uint8_t* line) { __builtin_prefetch(line, 0, 3); }
inline __attribute__((always_inline)) void prefetch_far(const uint8_t* line) { __builtin_prefetch(line, 0, 2); }

// The upper half of the lanes is added to the lower half until one is left.
inline float sum_lanes(FloatVector all) {
#if !__has_builtin(__builtin_shufflevector)  // GCC 11
  float lanes[kFloats];
  std::memcpy(lanes, &all, sizeof lanes);
  for (size_t n = kFloats / 2; n > 0; n /= 2) {
    for (size_t i = 0; i < n; ++i) lanes[i] += lanes[i + n];
  }
  return lanes[0];
#else
#if LPC_VECTOR_BYTES == 64
  const auto eight = __builtin_shufflevector(all, all, 0, 1, 2, 3, 4, 5, 6, 7) +
                     __builtin_shufflevector(all, all, 8, 9, 10, 11, 12, 13, 14, 15);
#elif LPC_VECTOR_BYTES == 32
  const FloatVector eight = all;
#endif
#if LPC_VECTOR_BYTES >= 32
  const auto four =
      __builtin_shufflevector(eight, eight, 0, 1, 2, 3) + __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#else
  const FloatVector four = all;
#endif
  const auto two = four + __builtin_shufflevector(four, four, 2, 3, 2, 3);
  return two[0] + two[1];
#endif
}

struct Sums {
  FloatVector even_low, odd_low, even_high, odd_high;
};

struct Dot {
  Sums chains[kChains];

  // `low` of the first 32 columns of part `part` of the group, `high` of the last 32; x as arranged for them.
  inline __attribute__((always_inline)) void add(size_t part, WordVector low, WordVector high, const float* x) {
    Sums& sums = chains[part % kChains];
    sums.even_low += (FloatVector)(low << 16) * load_vector<FloatVector>(x);
    sums.odd_low += (FloatVector)(low & 0xFFFF0000u) * load_vector<FloatVector>(x + kFloats);
    sums.even_high += (FloatVector)(high << 16) * load_vector<FloatVector>(x + 2 * kFloats);
    sums.odd_high += (FloatVector)(high & 0xFFFF0000u) * load_vector<FloatVector>(x + 3 * kFloats);
  }

  // 64 columns from memory, loaded in the order in which they lie there.
  inline __attribute__((always_inline)) void add_group(const void* weights, const float* x) {
    const auto* bytes = static_cast<const uint8_t*>(weights);
    WordVector loaded[2 * kParts];
    for (size_t i = 0; i < 2 * kParts; ++i) {
      loaded[i] = in_register(load_vector<WordVector>(bytes + i * LPC_VECTOR_BYTES));
    }
    for (size_t part = 0; part < kParts; ++part) add(part, loaded[part], loaded[kParts + part], x + part * 4 * kFloats);
  }

  float sum() const {
    FloatVector all{};
    for (size_t i = 0; i < kChains; ++i) {
      const FloatVector chain = (chains[i].even_low + chains[i].odd_low) + (chains[i].even_high + chains[i].odd_high);
      all = i == 0 ? chain : all + chain;
    }
    return sum_lanes(all);
  }
};

// Activations in the order of Dot::add; `arranged` has room for k rounded up to whole groups, the rest becomes zero.
inline void arrange_activations(const float* __restrict x, size_t k, float* __restrict arranged) {
  for (size_t group = 0; group < k; group += kGroup) {
    float last[kGroup] = {};
    const float* columns = x + group;
    if (k - group < kGroup) {
      std::memcpy(last, columns, (k - group) * sizeof(float));
      columns = last;
    }
    for (size_t part = 0; part < kParts; ++part) {
      for (size_t half = 0; half < 2; ++half, arranged += 2 * kFloats) {
        const float* const pairs = columns + half * kGroup / 2 + part * kHalves;
        for (size_t i = 0; i < kFloats; ++i) {
          arranged[i] = pairs[2 * i];
          arranged[kFloats + i] = pairs[2 * i + 1];
        }
      }
    }
  }
}

// Rows with more columns than this have more activations than half of a usual first-level cache holds.
inline constexpr size_t kLongRow = 4096;

// Columns that are not a whole group at the end of a row of decoded weights.
inline void add_tail(Dot& dot, const uint8_t* weights, size_t columns, const float* x) {
  if (columns == 0) return;
  uint16_t tail[kGroup] = {};
  std::memcpy(tail, weights, 2 * columns);
  dot.add_group(tail, x);
}

// A row of decoded weights. Row after row, its loads are one stream in order, which the hardware prefetches best: with
// prefetches of our own, or with several rows at a time, it is slower (AMD Zen 4: docs/benchmarks/products.md).
inline float dot_row(const uint8_t* weights, size_t k, const float* x) {
  // Unrolled, the hardware prefetches farther ahead: AVX2 28 for 24 GB/s; AVX-512 needs none, and loses by more.
  constexpr size_t kUnrolled = kParts == 1 ? 1 : 4;
  Dot dot{};
  size_t c = 0;
  for (; c + kUnrolled * kGroup <= k; c += kUnrolled * kGroup) {
#pragma GCC unroll 4
    for (size_t i = 0; i < kUnrolled * kGroup; i += kGroup) dot.add_group(weights + 2 * (c + i), x + c + i);
  }
  for (; c + kGroup <= k; c += kGroup) dot.add_group(weights + 2 * c, x + c);
  add_tail(dot, weights + 2 * c, k - c, x + c);
  return dot.sum();
}

// Longer rows, some at a time: they share the activations, and the rows to follow are prefetched, once more when half
// of them are still to come (AMD Zen 4, rows of 5632: 29.5 for 27.5 GB/s). Shorter vectors have no registers for the
// sums of more rows.
inline constexpr size_t kRowsTogether = kParts == 1 ? 16 : 4;

inline void dot_long_rows(const uint8_t* weights, size_t k, const float* x, float* y) {
  constexpr size_t kNear = 256;  // bytes
  Dot dots[kRowsTogether] = {};
  const size_t row_bytes = 2 * k;
  size_t c = 0;
  for (; c + kGroup <= k; c += kGroup) {
#pragma GCC unroll 16
    for (size_t r = 0; r < kRowsTogether; ++r) {
      const uint8_t* const group = weights + r * row_bytes + 2 * c;
      for (size_t line = 0; line < 2 * kGroup; line += 64) {
        prefetch_near(group + line + kNear);
        prefetch_far(group + line + kRowsTogether * row_bytes);
        prefetch_far(group + line + kRowsTogether / 2 * row_bytes);
      }
      dots[r].add_group(group, x + c);
    }
  }
  for (size_t r = 0; r < kRowsTogether; ++r) {
    add_tail(dots[r], weights + r * row_bytes + 2 * c, k - c, x + c);
    y[r] = dots[r].sum();
  }
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
