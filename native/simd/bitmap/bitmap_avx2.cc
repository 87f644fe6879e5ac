// Byte shuffles of 16 bytes; AVX-512 without VBMI2 has nothing better for 16-bit elements (measured: widening,
// expanding and narrowing them takes six uops of one port for 32 bytes).
#include <immintrin.h>

#include "simd/bitmap/bitmap-inl.h"

namespace lpc::bitmap_avx2 {
namespace {

struct Vector {
  static void place(const uint8_t* values, const uint8_t* shuffle, uint8_t* out) {
    const __m128i from = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values));
    const __m128i how = _mm_load_si128(reinterpret_cast<const __m128i*>(shuffle));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), _mm_shuffle_epi8(from, how));
  }
};

}  // namespace

extern const BitmapKernels bitmap;
const BitmapKernels bitmap = {
    {nullptr, expand_shuffled<Vector, 1>, expand_shuffled<Vector, 2>, nullptr, expand_shuffled<Vector, 4>}};

}  // namespace lpc::bitmap_avx2
