// AVX-512 with VBMI2: 32 weights an instruction.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "simd/avx512_intrinsics.h"

#define LPC_SIMD_NAMESPACE dot_bitmap_avx512_vbmi2
#define LPC_VECTOR_BYTES 64
#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

// From a register: expanding from memory is slow on some cores.
inline __attribute__((always_inline)) WordVector expand(uint64_t bits, const uint8_t* values) {
  const __m512i from = (__m512i)in_register(load_vector<WordVector>(values));
  return (WordVector)_mm512_maskz_expand_epi16(static_cast<__mmask32>(bits), from);
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/bitmap/dot_bitmap-inl.h"
