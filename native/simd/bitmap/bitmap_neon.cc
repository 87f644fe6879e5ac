// Byte shuffles of 16 bytes.
#include <arm_neon.h>

#include "simd/bitmap/bitmap-inl.h"

namespace lpc::bitmap_neon {
namespace {

struct Vector {
  static void place(const uint8_t* values, const uint8_t* shuffle, uint8_t* out) {
    vst1q_u8(out, vqtbl1q_u8(vld1q_u8(values), vld1q_u8(shuffle)));
  }
};

}  // namespace

extern const BitmapKernels bitmap;
const BitmapKernels bitmap = {
    {nullptr, expand_shuffled<Vector, 1>, expand_shuffled<Vector, 2>, nullptr, expand_shuffled<Vector, 4>}};

}  // namespace lpc::bitmap_neon
