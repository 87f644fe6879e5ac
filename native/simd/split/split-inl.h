// Portable loops of simd/split/split.h, compiled once an instruction set (the compiler vectorises them) and replaced
// there by hand-written kernels where that is faster. In an unnamed namespace, so that no two translation units share
// code.
#pragma once

#include <algorithm>
#include <cstring>

#include "simd/split/split.h"

namespace lpc {
namespace {

// Each instruction set uses what it needs of these.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

template <typename WordType, unsigned kExponent, unsigned kMantissa>
struct Float {
  using Word = WordType;
  static constexpr unsigned kSignShift = kExponent + kMantissa;
  static constexpr unsigned kMantissaBits = kMantissa;
  static constexpr unsigned kRaw = (kMantissa + 1) / 8;                    // raw arrays
  static constexpr unsigned kCodeMantissaBits = kMantissa + 1 - 8 * kRaw;  // low bits of the code byte
  static constexpr uint32_t kExponentMask = (1u << kExponent) - 1;
  static constexpr uint32_t kMantissaMask = (1u << kMantissa) - 1;
};
using Bf16 = Float<uint16_t, 8, 7>;
using Fp16 = Float<uint16_t, 5, 10>;
using Fp32 = Float<uint32_t, 8, 23>;
using Fp8E4m3 = Float<uint8_t, 4, 3>;
using Fp8E5m2 = Float<uint8_t, 5, 2>;

template <typename F>
inline uint32_t load_word(const uint8_t* elements, size_t i) {
  typename F::Word word;
  std::memcpy(&word, elements + i * sizeof word, sizeof word);
  return word;
}

template <typename F>
void split_loop(const uint8_t* __restrict elements, size_t n, uint8_t bias, uint8_t* __restrict codes,
                uint8_t* __restrict raw, size_t raw_stride) {
  for (size_t i = 0; i < n; ++i) {
    const uint32_t x = load_word<F>(elements, i);
    const uint32_t w = ((x & F::kMantissaMask) << 1) | (x >> F::kSignShift);
    const uint32_t distance = (bias - (x >> F::kMantissaBits)) & F::kExponentMask;
    codes[i] = static_cast<uint8_t>((distance << F::kCodeMantissaBits) | (w >> (8 * F::kRaw)));
    for (unsigned r = 0; r < F::kRaw; ++r) raw[r * raw_stride + i] = static_cast<uint8_t>(w >> (8 * r));
  }
}

template <typename F>
void join_loop(const uint8_t* __restrict codes, const uint8_t* __restrict raw, size_t raw_stride, size_t n,
               uint8_t bias, uint8_t* __restrict elements) {
  for (size_t i = 0; i < n; ++i) {
    const uint32_t code = codes[i];
    uint32_t w = (code & ((1u << F::kCodeMantissaBits) - 1)) << (8 * F::kRaw);
    for (unsigned r = 0; r < F::kRaw; ++r) w |= static_cast<uint32_t>(raw[r * raw_stride + i]) << (8 * r);
    const uint32_t exponent = (bias - (code >> F::kCodeMantissaBits)) & F::kExponentMask;
    const auto word =
        static_cast<typename F::Word>(((w & 1) << F::kSignShift) | (exponent << F::kMantissaBits) | (w >> 1));
    std::memcpy(elements + i * sizeof word, &word, sizeof word);
  }
}

// Two's complement <-> sign and magnitude: its own inverse, and -128 (no magnitude of 7 bits) is 128 both ways.
inline uint8_t swap_sign_magnitude(uint8_t x) { return static_cast<uint8_t>(x < 128 ? x : 128 | ((256 - x) & 127)); }

inline void split_int8(const uint8_t* __restrict elements, size_t n, uint8_t, uint8_t* __restrict codes, uint8_t*,
                       size_t) {
  for (size_t i = 0; i < n; ++i) codes[i] = swap_sign_magnitude(elements[i]);
}

inline void join_int8(const uint8_t* __restrict codes, const uint8_t*, size_t, size_t n, uint8_t,
                      uint8_t* __restrict elements) {
  for (size_t i = 0; i < n; ++i) elements[i] = swap_sign_magnitude(codes[i]);
}

inline void split_uint8(const uint8_t* elements, size_t n, uint8_t, uint8_t* codes, uint8_t*, size_t) {
  if (n != 0) std::memcpy(codes, elements, n);
}

inline void join_uint8(const uint8_t* codes, const uint8_t*, size_t, size_t n, uint8_t, uint8_t* elements) {
  if (n != 0) std::memcpy(elements, codes, n);
}

// Bit 8 i + j of the result is bit 8 j + i of x: the 8 x 8 bit matrix transposed.
inline uint64_t transpose_bits(uint64_t x) {
  uint64_t t = (x ^ (x >> 7)) & 0x00AA00AA00AA00AAu;
  x ^= t ^ (t << 7);
  t = (x ^ (x >> 14)) & 0x0000CCCC0000CCCCu;
  x ^= t ^ (t << 14);
  t = (x ^ (x >> 28)) & 0x00000000F0F0F0F0u;
  return x ^ t ^ (t << 28);
}

// `first` is a multiple of 8: where a vector loop left off.
inline void to_planes_from(size_t first, const uint8_t* codes, size_t n, uint8_t* const planes[kPlanes]) {
  for (size_t i = first; i < n; i += 8) {
    uint64_t block = 0;
    std::memcpy(&block, codes + i, std::min<size_t>(8, n - i));
    block = transpose_bits(block);
    for (size_t p = 0; p < kPlanes; ++p) planes[p][i / 8] = static_cast<uint8_t>(block >> (8 * p));
  }
}

inline void from_planes_from(size_t first, const uint8_t* const planes[kPlanes], size_t n, uint8_t* codes) {
  for (size_t i = first; i < n; i += 8) {
    uint64_t block = 0;
    for (size_t p = 0; p < kPlanes; ++p) {
      if (planes[p] != nullptr) block |= static_cast<uint64_t>(planes[p][i / 8]) << (8 * p);
    }
    block = transpose_bits(block);
    std::memcpy(codes + i, &block, std::min<size_t>(8, n - i));
  }
}

// Collects the planes that are there, with the bit of a code byte that each holds; returns how many.
inline size_t active_planes(const uint8_t* const planes[kPlanes], const uint8_t* active[kPlanes],
                            uint8_t bits[kPlanes]) {
  size_t count = 0;
  for (size_t p = 0; p < kPlanes; ++p) {
    if (planes[p] == nullptr) continue;
    active[count] = planes[p];
    bits[count++] = static_cast<uint8_t>(1u << p);
  }
  return count;
}

inline void to_planes_loop(const uint8_t* codes, size_t n, uint8_t* const planes[kPlanes]) {
  to_planes_from(0, codes, n, planes);
}

inline void from_planes_loop(const uint8_t* const planes[kPlanes], size_t n, uint8_t* codes) {
  from_planes_from(0, planes, n, codes);
}

template <SplitKernels::FromPlanes kFromPlanes, SplitKernels::Join kJoin>
void join_fp16_planes_by(const uint8_t* codes, const uint8_t* const planes[kFp16Planes], const uint8_t* raw, size_t n,
                         uint8_t bias, uint8_t* elements) {
  constexpr size_t kStep = 512;
  constexpr auto kExponent = static_cast<uint8_t>(0xFF << kFp16Planes);
  uint8_t whole[kStep];
  for (size_t begin = 0; begin < n; begin += kStep) {
    const size_t count = std::min(kStep, n - begin);
    const uint8_t* from[kPlanes] = {};
    for (size_t p = 0; p < kFp16Planes; ++p) from[p] = planes[p] + begin / 8;
    kFromPlanes(from, count, whole);
    for (size_t i = 0; i < count; ++i) whole[i] = static_cast<uint8_t>(whole[i] | (codes[begin + i] & kExponent));
    kJoin(whole, raw + begin, n, count, bias, elements + 2 * begin);
  }
}

inline uint64_t count_ones_loop(const uint8_t* bytes, size_t n) {
  uint64_t ones = 0;
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t eight;
    std::memcpy(&eight, bytes + i, sizeof eight);
    ones += static_cast<uint64_t>(__builtin_popcountll(eight));
  }
  for (; i < n; ++i) ones += static_cast<uint64_t>(__builtin_popcount(bytes[i]));
  return ones;
}

constexpr SplitKernels portable_kernels() {
  return {
      {nullptr, split_loop<Bf16>, split_loop<Fp16>, split_loop<Fp32>, split_int8, split_uint8, split_loop<Fp8E4m3>,
       split_loop<Fp8E5m2>},
      {nullptr, join_loop<Bf16>, join_loop<Fp16>, join_loop<Fp32>, join_int8, join_uint8, join_loop<Fp8E4m3>,
       join_loop<Fp8E5m2>},
      to_planes_loop,
      from_planes_loop,
      join_fp16_planes_by<from_planes_loop, join_loop<Fp16>>,
      count_ones_loop,
  };
}

#pragma GCC diagnostic pop

}  // namespace
}  // namespace lpc
