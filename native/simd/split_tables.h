// The tables of simd/split.h, one an instruction set: only those of the target architecture are built.
#pragma once

#include "simd/split.h"

namespace lpc {

const SplitKernels& split_kernels_scalar();
const SplitKernels& split_kernels_avx2();
const SplitKernels& split_kernels_avx512();
const SplitKernels& split_kernels_neon();

}  // namespace lpc
