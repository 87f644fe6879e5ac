#include "simd/bitmap.h"

#include "simd/isa.h"

namespace lpc {
namespace bitmap_scalar {
extern const BitmapKernels bitmap;
}
namespace bitmap_avx2 {
extern const BitmapKernels bitmap;
}
namespace bitmap_avx512_vbmi2 {
extern const BitmapKernels bitmap;
}
namespace bitmap_neon {
extern const BitmapKernels bitmap;
}

const BitmapKernels& bitmap_kernels() {
  switch (active_isa()) {
#if defined(__x86_64__)
    case Isa::kAvx2:
    case Isa::kAvx512: return bitmap_avx2::bitmap;  // wider vectors lack an expansion of 16-bit lanes
    case Isa::kAvx512Vbmi2: return bitmap_avx512_vbmi2::bitmap;
#elif defined(__aarch64__)
    case Isa::kNeon: return bitmap_neon::bitmap;
#endif
    default: return bitmap_scalar::bitmap;
  }
}

}  // namespace lpc
