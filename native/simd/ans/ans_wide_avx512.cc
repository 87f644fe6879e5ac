// AVX-512 (F, BW, DQ, VL): a group is four vectors of 16 states.
#include "simd/ans/ans_wide-inl.h"
#include "simd/avx512_intrinsics.h"

namespace lpc::ans_avx512 {
namespace {

constexpr size_t kVectors = 4;

// Advances the states and returns the entries of their slots.
inline __m512i step(const uint32_t* slots, __m512i& x) {
  const __m512i slot_mask = _mm512_set1_epi32(AnsWide::kSlots - 1);
  const __m512i entry = _mm512_i32gather_epi32(_mm512_and_si512(x, slot_mask), slots, 4);
  const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(entry, 8), slot_mask);
  x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, AnsWide::kPrecision)),
                       _mm512_srli_epi32(entry, 20));
  return entry;
}

// The low byte of each entry, to the bytes of one vector.
inline __m512i low_bytes(const __m512i (&e)[kVectors]) {
  const __m512i byte = _mm512_set1_epi32(255);
  const __m512i low = _mm512_and_si512(e[0], byte);
  const __m512i second = _mm512_slli_epi32(_mm512_and_si512(e[1], byte), 8);
  const __m512i third = _mm512_slli_epi32(_mm512_and_si512(e[2], byte), 16);
  const __m512i high = _mm512_slli_epi32(e[3], 24);
  return _mm512_or_si512(_mm512_or_si512(low, second), _mm512_or_si512(third, high));
}

// Takes a word into each state that has become too small; returns how many bytes of words that took.
inline size_t refill(__m512i& x, const uint8_t* words) {
  const __mmask16 small = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(AnsWide::kLowest));
  const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
  x = _mm512_mask_or_epi32(x, small, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(small, next));
  return 2 * static_cast<size_t>(_mm_popcnt_u32(small));
}

}  // namespace

bool decode_wide(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes) {
  const size_t whole = n / AnsWide::kStates * AnsWide::kStates;
  const uint8_t* words = stream.words;
  __m512i x[kVectors], entries[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = _mm512_load_si512(stream.states + 16 * k);
  for (size_t i = 0; i < whole; i += AnsWide::kStates) {
    for (size_t k = 0; k < kVectors; ++k) entries[k] = step(table.slots, x[k]);
    for (size_t k = 0; k < kVectors; ++k) words += refill(x[k], words);
    if (words > stream.words_end) return false;
    _mm512_storeu_si512(codes + i, low_bytes(entries));
  }
  for (size_t k = 0; k < kVectors; ++k) _mm512_store_si512(stream.states + 16 * k, x[k]);
  stream.words = words;
  return ans_decode_wide_from(table, stream, n - whole, codes + whole);
}

}  // namespace lpc::ans_avx512
