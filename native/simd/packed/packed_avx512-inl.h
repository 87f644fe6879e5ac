// The packed kernels on vectors of 64 bytes: all of packed_avx512.cc and packed_avx512_vbmi2.cc. The latter has an
// instruction that expands bytes; without it escapes are placed by a shuffle whose indices are running counts of the
// escapes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/avx512_intrinsics.h"

#define LPC_VECTOR_BYTES 64

#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

struct Ops {
  using Bytes = __m512i;
  using Mask = uint64_t;

  static Bytes load(const uint8_t* from) { return in_register(_mm512_loadu_si512(from)); }
  static Bytes fill(uint8_t byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
  static Bytes spare(Bytes v0, Bytes v1, Bytes v2) {
    constexpr int kSelect = 0xCA;  // first ? second : third
    const Bytes two =
        _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x03), _mm512_srli_epi16(v0, 6), _mm512_srli_epi16(v1, 4), kSelect);
    return _mm512_ternarylogic_epi64(_mm512_set1_epi8(0x0F), two, _mm512_srli_epi16(v2, 2), kSelect);
  }
#if defined(__AVX512VBMI2__)
  // Six bits of an index count, so the table is repeated for those above its own. Of three-bit codes another table
  // ignores the lower three bits: so neither needs a shift.
  struct Table {
    Bytes low, high;
  };
  template <unsigned kBits>
  static Table table(const uint8_t* bytes) {
    const Bytes lanes =
        _mm512_set_epi64(0x3F3E3D3C3B3A3938, 0x3736353433323130, 0x2F2E2D2C2B2A2928, 0x2726252423222120,
                         0x1F1E1D1C1B1A1918, 0x1716151413121110, 0x0F0E0D0C0B0A0908, 0x0706050403020100);
    const Bytes entries = load_table(bytes);
    const Bytes low = _mm512_and_si512(lanes, _mm512_set1_epi8((1 << kBits) - 1));
    const Bytes high = _mm512_and_si512(_mm512_srli_epi16(lanes, 3), _mm512_set1_epi8(7));
    return {_mm512_permutexvar_epi8(low, entries), _mm512_permutexvar_epi8(high, entries)};
  }
  template <unsigned kShift, unsigned kBits>
  static Bytes lookup(const Table& table, Bytes v) {
    if constexpr (kShift == 3 && kBits == 3) return _mm512_permutexvar_epi8(v, table.high);
    return _mm512_permutexvar_epi8(kShift == 0 ? v : _mm512_srli_epi16(v, kShift), table.low);
  }
#else
  using Table = Bytes;
  template <unsigned>
  static Table table(const uint8_t* bytes) {
    return load_table(bytes);
  }
  template <unsigned kShift, unsigned kBits>
  static Bytes lookup(Table table, Bytes v) {
    const Bytes shifted = kShift == 0 ? v : _mm512_srli_epi16(v, kShift);
    return _mm512_shuffle_epi8(table, _mm512_and_si512(shifted, _mm512_set1_epi8((1 << kBits) - 1)));
  }
#endif
  static Mask match(Bytes v, Bytes escape) { return _mm512_cmpeq_epi8_mask(v, escape); }
  static Bytes replace(Bytes v, size_t lane, uint8_t byte) {
    return _mm512_mask_set1_epi8(v, uint64_t{lane < 64} << lane % 64, static_cast<char>(byte));
  }
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

  template <typename Stream>
  static inline __attribute__((always_inline)) Bytes expand(Bytes v, Mask mask, Stream& from) {
    const uint8_t* const at = from.next();
    const size_t count = static_cast<size_t>(_mm_popcnt_u64(mask));
    from.used += count;
    if constexpr (Stream::kShort) from.counts |= count;
    return expand_bytes<Stream::kShort>(v, mask, at);
  }

 private:
  static Bytes load_table(const uint8_t* bytes) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  }
#if defined(__AVX512VBMI2__)
  // From a register: expanding from memory is slow on some cores.
  template <bool kShort>
  static inline __attribute__((always_inline)) Bytes expand_bytes(Bytes v, Mask mask, const uint8_t* at) {
    if constexpr (kShort) {
      const __m256i few = in_register(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
      return _mm512_mask_expand_epi8(v, mask, _mm512_castsi256_si512(few));
    }
    return _mm512_mask_expand_epi8(v, mask, load(at));
  }
#else
  template <bool>
  static inline __attribute__((always_inline)) Bytes expand_bytes(Bytes v, Mask bits, const uint8_t* at) {
    // Each 16 bytes are filled from where those before them end.
    Bytes source = _mm512_castsi128_si512(load16(at));
    source = _mm512_inserti32x4(source, load16(at + _mm_popcnt_u64(bits & 0xFFFF)), 1);
    source = _mm512_inserti32x4(source, load16(at + _mm_popcnt_u64(bits & 0xFFFFFFFF)), 2);
    source = _mm512_inserti32x4(source, load16(at + _mm_popcnt_u64(bits & 0xFFFFFFFFFFFF)), 3);
    return _mm512_mask_shuffle_epi8(v, bits, source, running_count(bits));
  }

  static inline __m128i load16(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

  // For each set bit the number of set bits before it within the same 16.
  static inline __attribute__((always_inline)) Bytes running_count(__mmask64 mask) {
    const Bytes minus_one = _mm512_set4_epi32(0, 0, 0, 0xFF);
    const Bytes middle = _mm512_set4_epi32(0x07070707, 0x07070707, -1, -1);
    Bytes count = _mm512_mask_add_epi8(minus_one, mask, minus_one, _mm512_set1_epi8(1));
    count = _mm512_add_epi8(count, _mm512_slli_epi64(count, 8));
    count = _mm512_add_epi8(count, _mm512_slli_epi64(count, 16));
    count = _mm512_add_epi8(count, _mm512_slli_epi64(count, 32));
    return _mm512_add_epi8(count, _mm512_shuffle_epi8(count, middle));
  }
#endif
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/packed/packed-inl.h"
