#define LPC_SIMD_NAMESPACE dot_avx2
#define LPC_VECTOR_BYTES 32
#include "simd/dot/dot-inl.h"
