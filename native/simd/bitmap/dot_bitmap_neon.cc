// One table look-up of 16 bytes a vector.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define LPC_SIMD_NAMESPACE dot_bitmap_neon
#define LPC_VECTOR_BYTES 16
#include "simd/bitmap/bitmap-inl.h"
#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline __attribute__((always_inline)) WordVector expand(uint64_t bits, const uint8_t* values) {
  return (WordVector)vqtbl1q_u8(vld1q_u8(values), vld1q_u8(kShuffles<2>[bits & 0xFF].data()));
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/bitmap/dot_bitmap-inl.h"
