#define LPC_SIMD_NAMESPACE dot_neon
#define LPC_VECTOR_BYTES 16
#include "simd/dot/dot-inl.h"
