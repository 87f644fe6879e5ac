// AVX-512 with VBMI2: 64 bytes of output an instruction.
#include <type_traits>

#include "simd/avx512_intrinsics.h"
#include "simd/bitmap/bitmap-inl.h"

namespace lpc::bitmap_avx512_vbmi2 {
namespace {

inline __m512i expand(uint64_t bits, const uint8_t* values, std::integral_constant<size_t, 1>) {
  return _mm512_maskz_expand_epi8(bits, _mm512_loadu_si512(values));
}
inline __m512i expand(uint64_t bits, const uint8_t* values, std::integral_constant<size_t, 2>) {
  return _mm512_maskz_expand_epi16(static_cast<__mmask32>(bits), _mm512_loadu_si512(values));
}
inline __m512i expand(uint64_t bits, const uint8_t* values, std::integral_constant<size_t, 4>) {
  return _mm512_maskz_expand_epi32(static_cast<__mmask16>(bits), _mm512_loadu_si512(values));
}

template <size_t kBytes>
size_t expand_rows(const uint8_t* bitmap, size_t n, const uint8_t* values, const uint8_t* values_end, uint8_t* out) {
  constexpr size_t kLanes = 64 / kBytes;
  const uint8_t* const start = values;
  size_t i = 0;
  for (; i + kLanes <= n && values_end - values >= 64; i += kLanes) {
    uint64_t bits = 0;
    std::memcpy(&bits, bitmap + i / 8, kLanes / 8);
    _mm512_storeu_si512(out + i * kBytes, expand(bits, values, std::integral_constant<size_t, kBytes>()));
    values += kBytes * static_cast<size_t>(__builtin_popcountll(bits));
  }
  return expand_from<kBytes>(i, bitmap, n, start, static_cast<size_t>(values - start) / kBytes, out);
}

}  // namespace

extern const BitmapKernels bitmap;
const BitmapKernels bitmap = {{nullptr, expand_rows<1>, expand_rows<2>, nullptr, expand_rows<4>}};

}  // namespace lpc::bitmap_avx512_vbmi2
