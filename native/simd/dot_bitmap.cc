#include "simd/dot_bitmap.h"

#include "simd/isa.h"

namespace lpc {
namespace dot_bitmap_scalar {
extern const BitmapDotKernels kernels;
}
namespace dot_bitmap_avx2 {
extern const BitmapDotKernels kernels;
}
namespace dot_bitmap_avx512 {
extern const BitmapDotKernels kernels;
}
namespace dot_bitmap_avx512_vbmi2 {
extern const BitmapDotKernels kernels;
}
namespace dot_bitmap_neon {
extern const BitmapDotKernels kernels;
}

const BitmapDotKernels& bitmap_dot_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2: return dot_bitmap_avx2::kernels;
    case Isa::kAvx512: return dot_bitmap_avx512::kernels;
    case Isa::kAvx512Vbmi2: return dot_bitmap_avx512_vbmi2::kernels;
#elif defined(__aarch64__)
    case Isa::kNeon: return dot_bitmap_neon::kernels;
#endif
    default: return dot_bitmap_scalar::kernels;
  }
}

}  // namespace lpc
