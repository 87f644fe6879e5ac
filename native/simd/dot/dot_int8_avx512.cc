#define LPC_SIMD_NAMESPACE dot_int8_avx512
#define LPC_VECTOR_BYTES 64
#include "simd/dot/dot_int8-inl.h"
