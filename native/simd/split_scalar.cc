// The reference: what every other instruction set must reproduce.
#include "simd/split-inl.h"
#include "simd/split_tables.h"

namespace lpc {

const SplitKernels& split_kernels_scalar() {
  static constexpr SplitKernels kKernels = portable_kernels();
  return kKernels;
}

}  // namespace lpc
