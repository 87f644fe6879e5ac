// The vector operations of simd/packed-inl.h that AVX-512 has with and without VBMI2.
#pragma once

#include "simd/avx512_intrinsics.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

struct Avx512Ops {
  using Bytes = __m512i;
  using Mask = uint64_t;

  static Bytes load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static Bytes table(const uint8_t* bytes) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  }
  static Bytes fill(uint8_t byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
  template <unsigned kShift, unsigned kBits>
  static Bytes field(Bytes v) {
    const Bytes shifted = kShift == 0 ? v : _mm512_srli_epi16(v, kShift);
    return _mm512_and_si512(shifted, _mm512_set1_epi8((1 << kBits) - 1));
  }
  static Bytes spare(Bytes v0, Bytes v1, Bytes v2) {
    constexpr int kSelect = 0xCA;  // first ? second : third
    const Bytes two = _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x03), _mm512_srli_epi16(v0, 6),
                                                _mm512_srli_epi16(v1, 4), kSelect);
    const Bytes four = _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x0F), two, _mm512_srli_epi16(v2, 2), kSelect);
    return _mm512_and_si512(four, _mm512_set1_epi8(0x3F));
  }
  static Bytes lookup(Bytes table, Bytes codes) { return _mm512_shuffle_epi8(table, codes); }
  static Mask match(Bytes v, Bytes escape) { return _mm512_cmpeq_epi8_mask(v, escape); }
  template <typename Words>
  static void zip(Bytes low, Bytes high, Words& w0, Words& w1) {
    w0 = (Words)_mm512_unpacklo_epi8(low, high);
    w1 = (Words)_mm512_unpackhi_epi8(low, high);
  }
  static Bytes join_planes(const uint64_t* bits, size_t) {
    Bytes codes = _mm512_maskz_set1_epi8(bits[0], 1);
    codes = _mm512_mask_add_epi8(codes, bits[1], codes, _mm512_set1_epi8(2));
    return _mm512_mask_add_epi8(codes, bits[2], codes, _mm512_set1_epi8(4));
  }
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
