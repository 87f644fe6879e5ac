// AVX-512 without VBMI2 cannot expand lanes of 16 bits: four shuffles of 16 bytes, as in bitmap_avx2.cc.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "simd/avx512_intrinsics.h"

#define LPC_SIMD_NAMESPACE dot_bitmap_avx512
#define LPC_VECTOR_BYTES 64
#include "simd/bitmap/bitmap_shuffle_x86-inl.h"
#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline __attribute__((always_inline)) WordVector expand(uint64_t bits, const uint8_t* values) {
  __m512i out = _mm512_castsi128_si512(place_eight(bits, values));
  values += 2 * __builtin_popcountll(bits & 0xFF);
  out = _mm512_inserti32x4(out, place_eight(bits >> 8, values), 1);
  values += 2 * __builtin_popcountll(bits & 0xFF00);
  out = _mm512_inserti32x4(out, place_eight(bits >> 16, values), 2);
  values += 2 * __builtin_popcountll(bits & 0xFF0000);
  return (WordVector)_mm512_inserti32x4(out, place_eight(bits >> 24, values), 3);
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/bitmap/dot_bitmap-inl.h"
