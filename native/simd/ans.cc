#include "simd/ans.h"

#include "simd/isa.h"

namespace lpc {
namespace ans_scalar {
extern const AnsKernels ans;
}
namespace ans_avx2 {
extern const AnsKernels ans;
}
namespace ans_avx512 {
extern const AnsKernels ans;
}
namespace ans_neon {
extern const AnsKernels ans;
}

const AnsKernels& ans_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2: return ans_avx2::ans;
    case Isa::kAvx512:
    case Isa::kAvx512Vbmi2: return ans_avx512::ans;  // VBMI2 adds nothing here
#elif defined(__aarch64__)
    case Isa::kNeon: return ans_neon::ans;
#endif
    default: return ans_scalar::ans;
  }
}

}  // namespace lpc
