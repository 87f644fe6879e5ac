// The tables of simd/split/split.h, one an instruction set: only those of the target architecture are built.
#pragma once

#include "simd/split/split.h"

namespace lpc {

extern const SplitKernels split_kernels_scalar;
extern const SplitKernels split_kernels_avx2;
extern const SplitKernels split_kernels_avx512;
extern const SplitKernels split_kernels_neon;

}  // namespace lpc
