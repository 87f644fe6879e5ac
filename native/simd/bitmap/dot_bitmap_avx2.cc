// Two shuffles of 16 bytes a vector.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define LPC_SIMD_NAMESPACE dot_bitmap_avx2
#define LPC_VECTOR_BYTES 32
#include "simd/bitmap/bitmap_shuffle_x86-inl.h"
#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline __attribute__((always_inline)) WordVector expand(uint64_t bits, const uint8_t* values) {
  const __m128i low = place_eight(bits, values);
  const __m128i high = place_eight(bits >> 8, values + 2 * __builtin_popcountll(bits & 0xFF));
  return (WordVector)_mm256_set_m128i(high, low);
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/bitmap/dot_bitmap-inl.h"
