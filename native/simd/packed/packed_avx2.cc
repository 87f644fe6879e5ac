// AVX2: 32 bytes a vector; escapes are placed by a shuffle whose indices are running counts of the escapes.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#define LPC_SIMD_NAMESPACE packed_avx2
#define LPC_VECTOR_BYTES 32

#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

struct Ops {
  using Bytes = __m256i;
  using Table = Bytes;
  using Mask = Bytes;

  static Bytes load(const uint8_t* from) {
    return in_register(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  }
  template <unsigned kBits>
  static Table table(const uint8_t* bytes) {
    return _mm256_broadcastsi128_si256(load16(bytes));
  }
  static Bytes fill(uint8_t byte) { return _mm256_set1_epi8(static_cast<char>(byte)); }
  template <unsigned kShift, unsigned kBits>
  static Bytes lookup(Table table, Bytes v) {
    const Bytes shifted = kShift == 0 ? v : _mm256_srli_epi16(v, kShift);
    return _mm256_shuffle_epi8(table, _mm256_and_si256(shifted, _mm256_set1_epi8((1 << kBits) - 1)));
  }
  static Bytes spare(Bytes v0, Bytes v1, Bytes v2) {
    const Bytes two = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(v0, 6), _mm256_set1_epi8(0x03)),
                                      _mm256_and_si256(_mm256_srli_epi16(v1, 4), _mm256_set1_epi8(0x0C)));
    return _mm256_or_si256(two, _mm256_and_si256(_mm256_srli_epi16(v2, 2), _mm256_set1_epi8(0x30)));
  }
  static Mask match(Bytes v, Bytes escape) { return _mm256_cmpeq_epi8(v, escape); }
  template <typename Stream>
  static inline __attribute__((always_inline)) Bytes expand(Bytes v, Mask mask, Stream& from) {
    const uint32_t bits = static_cast<uint32_t>(_mm256_movemask_epi8(mask));
    const uint8_t* at = from.next();
    from.used += static_cast<size_t>(_mm_popcnt_u32(bits));
    const Bytes source =
        _mm256_inserti128_si256(_mm256_castsi128_si256(load16(at)), load16(at + _mm_popcnt_u32(bits & 0xFFFF)), 1);
    return _mm256_blendv_epi8(v, _mm256_shuffle_epi8(source, running_count(mask)), mask);
  }

  static Bytes replace(Bytes v, size_t lane, uint8_t byte) {
    const Bytes lanes = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                         22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
    return _mm256_blendv_epi8(v, fill(byte), _mm256_cmpeq_epi8(lanes, fill(static_cast<uint8_t>(lane))));
  }
  template <typename Words>
  static void zip(Bytes low, Bytes high, Words& w0, Words& w1) {
    w0 = (Words)_mm256_unpacklo_epi8(low, high);
    w1 = (Words)_mm256_unpackhi_epi8(low, high);
  }

  static Bytes join_planes(const uint64_t* bits, size_t part) {
    const __m256i byte_of_lane = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of_lane = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    Bytes codes = _mm256_setzero_si256();
    for (int p = 0; p < 3; ++p) {
      const __m256i word = _mm256_set1_epi32(static_cast<int>(bits[p] >> (32 * part)));
      const __m256i spread = _mm256_and_si256(_mm256_shuffle_epi8(word, byte_of_lane), bit_of_lane);
      const __m256i set = _mm256_cmpeq_epi8(spread, bit_of_lane);
      codes = _mm256_or_si256(codes, _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(1 << p))));
    }
    return codes;
  }

 private:
  static inline __m128i load16(const uint8_t* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }

  // For each byte of -1 the number of such bytes before it within the same 16.
  static inline __attribute__((always_inline)) Bytes running_count(Bytes mask) {
    const Bytes minus_one = _mm256_setr_epi32(0xFF, 0, 0, 0, 0xFF, 0, 0, 0);
    const Bytes middle = _mm256_setr_epi32(-1, -1, 0x07070707, 0x07070707, -1, -1, 0x07070707, 0x07070707);
    Bytes count = _mm256_sub_epi8(minus_one, mask);
    count = _mm256_add_epi8(count, _mm256_slli_epi64(count, 8));
    count = _mm256_add_epi8(count, _mm256_slli_epi64(count, 16));
    count = _mm256_add_epi8(count, _mm256_slli_epi64(count, 32));
    return _mm256_add_epi8(count, _mm256_shuffle_epi8(count, middle));
  }
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/packed/packed-inl.h"
