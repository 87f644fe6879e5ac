#include "simd/packed.h"

#include "simd/isa.h"

namespace lpc {
namespace packed_scalar {
extern const PackedKernels packed;
}
namespace packed_avx2 {
extern const PackedKernels packed;
}
namespace packed_avx512 {
extern const PackedKernels packed;
}
namespace packed_avx512_vbmi2 {
extern const PackedKernels packed;
}
namespace packed_neon {
extern const PackedKernels packed;
}

const PackedKernels& packed_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2: return packed_avx2::packed;
    case Isa::kAvx512: return packed_avx512::packed;
    case Isa::kAvx512Vbmi2: return packed_avx512_vbmi2::packed;
#elif defined(__aarch64__)
    case Isa::kNeon: return packed_neon::packed;
#endif
    default: return packed_scalar::packed;
  }
}

}  // namespace lpc
