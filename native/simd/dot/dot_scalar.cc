#define LPC_SIMD_NAMESPACE dot_scalar
#define LPC_VECTOR_BYTES 16
#include "simd/dot/dot-inl.h"
