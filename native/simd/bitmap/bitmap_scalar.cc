// The reference: what every other instruction set must reproduce.
#include "simd/bitmap/bitmap-inl.h"

namespace lpc::bitmap_scalar {

extern const BitmapKernels bitmap;
const BitmapKernels bitmap = {{nullptr, expand_loop<1>, expand_loop<2>, nullptr, expand_loop<4>}};

}  // namespace lpc::bitmap_scalar
