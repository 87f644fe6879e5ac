#define LPC_SIMD_NAMESPACE dot_int8_neon
#define LPC_VECTOR_BYTES 16
#include "simd/dot/dot_int8-inl.h"
