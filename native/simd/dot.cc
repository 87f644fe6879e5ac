#include "simd/dot.h"

#include "simd/isa.h"

namespace lpc {
namespace dot_scalar {
extern const DotKernels kernels;
}
namespace dot_avx2 {
extern const DotKernels kernels;
}
namespace dot_avx512 {
extern const DotKernels kernels;
}
namespace dot_neon {
extern const DotKernels kernels;
}

const DotKernels& dot_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2: return dot_avx2::kernels;
    case Isa::kAvx512:
    case Isa::kAvx512Vbmi2: return dot_avx512::kernels;
#elif defined(__aarch64__)
    case Isa::kNeon: return dot_neon::kernels;
#endif
    default: return dot_scalar::kernels;
  }
}

}  // namespace lpc
