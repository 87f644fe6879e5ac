#include "simd/dot_int8.h"

#include "simd/isa.h"

namespace lpc {
namespace dot_int8_scalar {
extern const Int8Kernels kernels;
}
namespace dot_int8_avx2 {
extern const Int8Kernels kernels;
}
namespace dot_int8_avx512 {
extern const Int8Kernels kernels;
}
namespace dot_int8_neon {
extern const Int8Kernels kernels;
}

const Int8Kernels& int8_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2: return dot_int8_avx2::kernels;
    case Isa::kAvx512:
    case Isa::kAvx512Vbmi2: return dot_int8_avx512::kernels;
#elif defined(__aarch64__)
    case Isa::kNeon: return dot_int8_neon::kernels;
#endif
    default: return dot_int8_scalar::kernels;
  }
}

}  // namespace lpc
