#include "simd/ans.h"

#include "simd/isa.h"

namespace lpc {

#define LPC_DECODE_NARROW bool decode_narrow(const AnsNarrow&, AnsNarrowStream&, size_t, uint8_t*)
#define LPC_ENCODE_NARROW void encode_narrow(const AnsNarrowEncoder&, const uint8_t*, size_t, AnsNarrowWriter&)
#define LPC_DECODE_WIDE bool decode_wide(const AnsWide&, AnsWideStream&, size_t, uint8_t*)
namespace ans_scalar {
LPC_DECODE_NARROW;
LPC_ENCODE_NARROW;
LPC_DECODE_WIDE;
}  // namespace ans_scalar
namespace ans_avx2 {
LPC_DECODE_NARROW;
LPC_ENCODE_NARROW;
LPC_DECODE_WIDE;
}  // namespace ans_avx2
namespace ans_avx512 {
LPC_DECODE_WIDE;
}
namespace ans_avx512_vbmi2 {
LPC_DECODE_NARROW;
LPC_ENCODE_NARROW;
}  // namespace ans_avx512_vbmi2
namespace ans_neon {
LPC_DECODE_NARROW;
LPC_ENCODE_NARROW;
LPC_DECODE_WIDE;
}  // namespace ans_neon
#undef LPC_DECODE_NARROW
#undef LPC_ENCODE_NARROW
#undef LPC_DECODE_WIDE

const AnsKernels& ans_kernels() {
  static constexpr AnsKernels kScalar = {ans_scalar::decode_narrow, ans_scalar::encode_narrow, ans_scalar::decode_wide};
#if defined(__x86_64__)
  static constexpr AnsKernels kAvx2 = {ans_avx2::decode_narrow, ans_avx2::encode_narrow, ans_avx2::decode_wide};
  // Narrow streams need byte permutations and expansions that AVX-512 has from VBMI2 on.
  static constexpr AnsKernels kAvx512 = {ans_avx2::decode_narrow, ans_avx2::encode_narrow, ans_avx512::decode_wide};
  static constexpr AnsKernels kAvx512Vbmi2 = {ans_avx512_vbmi2::decode_narrow, ans_avx512_vbmi2::encode_narrow,
                                              ans_avx512::decode_wide};
#elif defined(__aarch64__)
  static constexpr AnsKernels kNeon = {ans_neon::decode_narrow, ans_neon::encode_narrow, ans_neon::decode_wide};
#endif
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2: return kAvx2;
    case Isa::kAvx512: return kAvx512;
    case Isa::kAvx512Vbmi2: return kAvx512Vbmi2;
#elif defined(__aarch64__)
    case Isa::kNeon: return kNeon;
#endif
    default: return kScalar;
  }
}

}  // namespace lpc
