// AVX-512 with VBMI2: escapes are placed by one byte expansion.
#include <cstddef>
#include <cstdint>

#include "simd/avx512_intrinsics.h"

#define LPC_SIMD_NAMESPACE packed_avx512_vbmi2
#define LPC_VECTOR_BYTES 64
#include "simd/packed_avx512-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

struct Ops : Avx512Ops {
  template <typename Stream>
  static inline __attribute__((always_inline)) Bytes expand(Bytes v, Mask mask, Stream& from) {
    const uint8_t* at = from.next();
    from.used += static_cast<size_t>(_mm_popcnt_u64(mask));
    return _mm512_mask_expand_epi8(v, mask, load(at));
  }
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/packed-inl.h"
