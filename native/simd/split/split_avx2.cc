// AVX2 kernels: 32 code bytes a vector, bit planes through byte masks.
#include <immintrin.h>

#include "simd/split/split-inl.h"
#include "simd/split/split_tables.h"

namespace lpc {
namespace {

constexpr size_t kLanes = 32;
constexpr int kSwapMiddle = 0xD8;  // quarters 0, 2, 1, 3

inline __m256i load(const uint8_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
inline void store(uint8_t* to, __m256i v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }

void split_bf16(const uint8_t* elements, size_t n, uint8_t bias, uint8_t* codes, uint8_t* raw, size_t raw_stride) {
  const __m256i low_byte = _mm256_set1_epi16(0x00FF);
  const __m256i biases = _mm256_set1_epi8(static_cast<char>(bias));
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m256i a = load(elements + 2 * i);
    const __m256i b = load(elements + 2 * i + 32);
    // Rotated left by 1: exponent in the high byte, mantissa and sign in the low one.
    const __m256i x = _mm256_or_si256(_mm256_slli_epi16(a, 1), _mm256_srli_epi16(a, 15));
    const __m256i y = _mm256_or_si256(_mm256_slli_epi16(b, 1), _mm256_srli_epi16(b, 15));
    const __m256i w = _mm256_packus_epi16(_mm256_and_si256(x, low_byte), _mm256_and_si256(y, low_byte));
    const __m256i e = _mm256_packus_epi16(_mm256_srli_epi16(x, 8), _mm256_srli_epi16(y, 8));
    store(raw + i, _mm256_permute4x64_epi64(w, kSwapMiddle));
    store(codes + i, _mm256_sub_epi8(biases, _mm256_permute4x64_epi64(e, kSwapMiddle)));
  }
  split_loop<Bf16>(elements + 2 * i, n - i, bias, codes + i, raw + i, raw_stride);
}

// 32 words of these bytes, each rotated right by 1.
inline void store_words(__m256i high, __m256i low, uint8_t* elements) {
  const __m256i h = _mm256_permute4x64_epi64(high, kSwapMiddle);
  const __m256i l = _mm256_permute4x64_epi64(low, kSwapMiddle);
  const __m256i x = _mm256_unpacklo_epi8(l, h);
  const __m256i y = _mm256_unpackhi_epi8(l, h);
  store(elements, _mm256_or_si256(_mm256_srli_epi16(x, 1), _mm256_slli_epi16(x, 15)));
  store(elements + 32, _mm256_or_si256(_mm256_srli_epi16(y, 1), _mm256_slli_epi16(y, 15)));
}

void join_bf16(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias, uint8_t* elements) {
  const __m256i biases = _mm256_set1_epi8(static_cast<char>(bias));
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store_words(_mm256_sub_epi8(biases, load(codes + i)), load(raw + i), elements + 2 * i);
  }
  join_loop<Bf16>(codes + i, raw + i, raw_stride, n - i, bias, elements + 2 * i);
}

// The exponents of fp16 code bytes, in bits 3 to 7.
inline __m256i fp16_exponents(__m256i codes, uint8_t bias) {
  const __m256i coded = _mm256_and_si256(codes, _mm256_set1_epi8(static_cast<char>(0xFF << kFp16Planes)));
  return _mm256_sub_epi8(_mm256_set1_epi8(static_cast<char>(bias << kFp16Planes)), coded);
}

void join_fp16(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias, uint8_t* elements) {
  const __m256i low_bits = _mm256_set1_epi8((1 << kFp16Planes) - 1);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const __m256i c = load(codes + i);
    const __m256i high = _mm256_or_si256(fp16_exponents(c, bias), _mm256_and_si256(c, low_bits));
    store_words(high, load(raw + i), elements + 2 * i);
  }
  join_loop<Fp16>(codes + i, raw + i, raw_stride, n - i, bias, elements + 2 * i);
}

void to_planes(const uint8_t* codes, size_t n, uint8_t* const planes[kPlanes]) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __m256i c = load(codes + i);
    for (size_t p = kPlanes; p-- > 0;) {
      const int bits = _mm256_movemask_epi8(c);  // of bit 7, where plane p now is
      std::memcpy(planes[p] + i / 8, &bits, sizeof bits);
      c = _mm256_add_epi8(c, c);
    }
  }
  to_planes_from(i, codes, n, planes);
}

// `bit` where the 32 bits at `plane` are 1.
inline __m256i spread(const uint8_t* plane, __m256i bit) {
  const __m256i byte_of_lane = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of_lane = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  int word;
  std::memcpy(&word, plane, sizeof word);
  const __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(word), byte_of_lane), bit_of_lane);
  return _mm256_and_si256(_mm256_cmpeq_epi8(bits, bit_of_lane), bit);
}

// Joins the kActive planes that are not all zero; returns how many elements are done.
template <size_t kActive>
size_t join_planes(const uint8_t* const* active, const uint8_t* bits, size_t n, uint8_t* codes) {
  __m256i bit[kActive + 1];
  for (size_t a = 0; a < kActive; ++a) bit[a] = _mm256_set1_epi8(static_cast<char>(bits[a]));
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    __m256i c = _mm256_setzero_si256();
    for (size_t a = 0; a < kActive; ++a) c = _mm256_or_si256(c, spread(active[a] + i / 8, bit[a]));
    store(codes + i, c);
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
    __m256i high = fp16_exponents(load(codes + i), bias);
    for (size_t p = 0; p < kFp16Planes; ++p) {
      high = _mm256_or_si256(high, spread(planes[p] + i / 8, _mm256_set1_epi8(static_cast<char>(1 << p))));
    }
    store_words(high, load(raw + i), elements + 2 * i);
  }
  const uint8_t* const rest[kFp16Planes] = {planes[0] + i / 8, planes[1] + i / 8, planes[2] + i / 8};
  join_fp16_planes_by<from_planes_loop, join_loop<Fp16>>(codes + i, rest, raw + i, n - i, bias, elements + 2 * i);
}

}  // namespace

constexpr SplitKernels split_kernels_avx2 = [] {
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
