// AVX-512 (F, BW, DQ, VL) kernels: 64 code bytes a vector, bit planes through mask registers.
#include "simd/avx512_intrinsics.h"
#include "simd/split/split-inl.h"
#include "simd/split/split_tables.h"

namespace lpc {
namespace {

constexpr size_t kLanes = 64;

inline __m512i load(const uint8_t* from) { return _mm512_loadu_si512(from); }

void split_bf16(const uint8_t* elements, size_t n, uint8_t bias, uint8_t* codes, uint8_t* raw, size_t raw_stride) {
  const __m512i low_byte = _mm512_set1_epi16(0x00FF);
  const __m512i biases = _mm512_set1_epi8(static_cast<char>(bias));
  const __m512i in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);  // undoes the lane order of packus
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m512i a = load(elements + 2 * i);
    const __m512i b = load(elements + 2 * i + 64);
    // Rotated left by 1: exponent in the high byte, mantissa and sign in the low one.
    const __m512i x = _mm512_or_si512(_mm512_slli_epi16(a, 1), _mm512_srli_epi16(a, 15));
    const __m512i y = _mm512_or_si512(_mm512_slli_epi16(b, 1), _mm512_srli_epi16(b, 15));
    const __m512i w = _mm512_packus_epi16(_mm512_and_si512(x, low_byte), _mm512_and_si512(y, low_byte));
    const __m512i e = _mm512_packus_epi16(_mm512_srli_epi16(x, 8), _mm512_srli_epi16(y, 8));
    _mm512_storeu_si512(raw + i, _mm512_permutexvar_epi64(in_order, w));
    _mm512_storeu_si512(codes + i, _mm512_sub_epi8(biases, _mm512_permutexvar_epi64(in_order, e)));
  }
  split_loop<Bf16>(elements + 2 * i, n - i, bias, codes + i, raw + i, raw_stride);
}

// 64 words of these bytes, each rotated right by 1.
inline void store_words(__m512i high, __m512i low, uint8_t* elements) {
  const __m512i for_unpack = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  const __m512i h = _mm512_permutexvar_epi64(for_unpack, high);
  const __m512i l = _mm512_permutexvar_epi64(for_unpack, low);
  const __m512i x = _mm512_unpacklo_epi8(l, h);
  const __m512i y = _mm512_unpackhi_epi8(l, h);
  _mm512_storeu_si512(elements, _mm512_or_si512(_mm512_srli_epi16(x, 1), _mm512_slli_epi16(x, 15)));
  _mm512_storeu_si512(elements + 64, _mm512_or_si512(_mm512_srli_epi16(y, 1), _mm512_slli_epi16(y, 15)));
}

void join_bf16(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias, uint8_t* elements) {
  const __m512i biases = _mm512_set1_epi8(static_cast<char>(bias));
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store_words(_mm512_sub_epi8(biases, load(codes + i)), load(raw + i), elements + 2 * i);
  }
  join_loop<Bf16>(codes + i, raw + i, raw_stride, n - i, bias, elements + 2 * i);
}

// The exponents of fp16 code bytes, in bits 3 to 7.
inline __m512i fp16_exponents(__m512i codes, uint8_t bias) {
  const __m512i coded = _mm512_and_si512(codes, _mm512_set1_epi8(static_cast<char>(0xFF << kFp16Planes)));
  return _mm512_sub_epi8(_mm512_set1_epi8(static_cast<char>(bias << kFp16Planes)), coded);
}

void join_fp16(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias, uint8_t* elements) {
  const __m512i low_bits = _mm512_set1_epi8((1 << kFp16Planes) - 1);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m512i c = load(codes + i);
    const __m512i high = _mm512_or_si512(fp16_exponents(c, bias), _mm512_and_si512(c, low_bits));
    store_words(high, load(raw + i), elements + 2 * i);
  }
  join_loop<Fp16>(codes + i, raw + i, raw_stride, n - i, bias, elements + 2 * i);
}

void to_planes(const uint8_t* codes, size_t n, uint8_t* const planes[kPlanes]) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m512i c = load(codes + i);
    for (unsigned p = 0; p < kPlanes; ++p) {
      const __mmask64 bits = _mm512_test_epi8_mask(c, _mm512_set1_epi8(static_cast<char>(1 << p)));
      std::memcpy(planes[p] + i / 8, &bits, sizeof bits);
    }
  }
  to_planes_from(i, codes, n, planes);
}

// Joins the kActive planes that are not all zero; returns how many elements are done.
template <size_t kActive>
size_t join_planes(const uint8_t* const* active, const uint8_t* bits, size_t n, uint8_t* codes) {
  __m512i bit[kActive + 1];
  for (size_t a = 0; a < kActive; ++a) bit[a] = _mm512_set1_epi8(static_cast<char>(bits[a]));
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __m512i c = _mm512_setzero_si512();
    for (size_t a = 0; a < kActive; ++a) {
      __mmask64 mask;
      std::memcpy(&mask, active[a] + i / 8, sizeof mask);
      c = _mm512_mask_add_epi8(c, mask, c, bit[a]);  // each bit is added once: the same as or
    }
    _mm512_storeu_si512(codes + i, c);
  }
  return i;
}

using JoinPlanes = size_t (*)(const uint8_t* const*, const uint8_t*, size_t, uint8_t*);
constexpr JoinPlanes kJoinPlanes[kPlanes + 1] = {join_planes<0>, join_planes<1>, join_planes<2>,
                                                 join_planes<3>, join_planes<4>, join_planes<5>,
                                                 join_planes<6>, join_planes<7>, join_planes<8>};

void from_planes(const uint8_t* const planes[kPlanes], size_t n, uint8_t* codes) {
  const uint8_t* active[kPlanes];
  uint8_t bits[kPlanes];
  const size_t count = active_planes(planes, active, bits);
  from_planes_from(kJoinPlanes[count](active, bits, n, codes), planes, n, codes);
}

void join_fp16_planes(const uint8_t* codes, const uint8_t* const planes[kFp16Planes], const uint8_t* raw, size_t n,
                      uint8_t bias, uint8_t* elements) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __m512i high = fp16_exponents(load(codes + i), bias);
    for (size_t p = 0; p < kFp16Planes; ++p) {
      __mmask64 mask;
      std::memcpy(&mask, planes[p] + i / 8, sizeof mask);
      high = _mm512_mask_add_epi8(high, mask, high, _mm512_set1_epi8(static_cast<char>(1 << p)));
    }
    store_words(high, load(raw + i), elements + 2 * i);
  }
  const uint8_t* const rest[kFp16Planes] = {planes[0] + i / 8, planes[1] + i / 8, planes[2] + i / 8};
  join_fp16_planes_by<from_planes_loop, join_loop<Fp16>>(codes + i, rest, raw + i, n - i, bias, elements + 2 * i);
}

}  // namespace

constexpr SplitKernels split_kernels_avx512 = [] {
  SplitKernels kernels = portable_kernels();
  kernels.split[LPC_DTYPE_BF16] = split_bf16;
  kernels.join[LPC_DTYPE_BF16] = join_bf16;
  kernels.join[LPC_DTYPE_FP16] = join_fp16;
  kernels.join_fp16_planes = join_fp16_planes;
  kernels.to_planes = to_planes;
  kernels.from_planes = from_planes;
  return kernels;
}();

}  // namespace lpc
