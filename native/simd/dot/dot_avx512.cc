#define LPC_SIMD_NAMESPACE dot_avx512
#define LPC_VECTOR_BYTES 64
#include "simd/dot/dot-inl.h"
