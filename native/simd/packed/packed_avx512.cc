// AVX-512 (F, BW, DQ, VL).
#define LPC_SIMD_NAMESPACE packed_avx512
#include "simd/packed/packed_avx512-inl.h"
