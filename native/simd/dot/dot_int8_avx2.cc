#define LPC_SIMD_NAMESPACE dot_int8_avx2
#define LPC_VECTOR_BYTES 32
#include "simd/dot/dot_int8-inl.h"
