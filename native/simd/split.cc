#include "simd/split.h"

#include "simd/split_tables.h"

namespace lpc {

const SplitKernels* split_kernels_for(Isa isa) {
  if (!isa_supported(isa)) return nullptr;
  switch (isa) {
    case Isa::kScalar: break;
#if defined(__x86_64__)
    case Isa::kAvx2: return &split_kernels_avx2();
    case Isa::kAvx512:
    case Isa::kAvx512Vbmi2: return &split_kernels_avx512();  // VBMI2 adds nothing here
#endif
#if defined(__aarch64__)
    case Isa::kNeon: return &split_kernels_neon();
#endif
    default: break;
  }
  return &split_kernels_scalar();
}

const SplitKernels& split_kernels() {
  static const SplitKernels& kernels = *split_kernels_for(active_isa());
  return kernels;
}

}  // namespace lpc
