// The reference: what every other instruction set must reproduce.
#include "simd/split/split-inl.h"
#include "simd/split/split_tables.h"

namespace lpc {

constexpr SplitKernels split_kernels_scalar = portable_kernels();

}  // namespace lpc
