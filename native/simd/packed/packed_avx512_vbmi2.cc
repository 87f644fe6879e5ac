// AVX-512 with VBMI and VBMI2.
#define LPC_SIMD_NAMESPACE packed_avx512_vbmi2
#include "simd/packed/packed_avx512-inl.h"
