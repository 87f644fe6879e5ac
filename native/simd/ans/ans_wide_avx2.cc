// AVX2: a group is eight vectors of 8 states.
#include <immintrin.h>

#include <array>

#include "simd/ans/ans_wide-inl.h"

namespace lpc::ans_avx2 {
namespace {

constexpr size_t kVectors = 8;
constexpr size_t kHalf = 4;  // vectors whose bytes make one vector

inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline void store(void* to, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }

inline __m256i advance(__m256i x, __m256i frequency, __m256i offset) {
  return _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, AnsWide::kPrecision)), offset);
}

// Advances the four vectors x[0], x[2], x[4], x[6] and returns their code bytes.
inline __m256i step(const uint32_t* slots, __m256i* x) {
  const __m256i slot_mask = _mm256_set1_epi32(AnsWide::kSlots - 1);
  const __m256i byte = _mm256_set1_epi32(255);
  __m256i symbols = _mm256_setzero_si256();
  for (size_t k = kHalf; k-- > 0;) {
    __m256i& state = x[2 * k];
    const __m256i entry =
        _mm256_i32gather_epi32(reinterpret_cast<const int*>(slots), _mm256_and_si256(state, slot_mask), 4);
    state = advance(state, _mm256_and_si256(_mm256_srli_epi32(entry, 8), slot_mask), _mm256_srli_epi32(entry, 20));
    symbols = _mm256_or_si256(_mm256_slli_epi32(symbols, 8), _mm256_and_si256(entry, byte));
  }
  return symbols;
}

// By set of states that take a word: the shuffle that brings the next words to them.
using Spread = std::array<std::array<uint8_t, 16>, 256>;
constexpr Spread make_spread() {
  Spread spread{};
  for (size_t taking = 0; taking < spread.size(); ++taking) {
    uint8_t next = 0;
    for (size_t lane = 0; lane < 8; ++lane) {
      const bool takes = taking >> lane & 1;
      spread[taking][2 * lane] = takes ? next : 0x80;
      spread[taking][2 * lane + 1] = takes ? static_cast<uint8_t>(next + 1) : 0x80;
      if (takes) next = static_cast<uint8_t>(next + 2);
    }
  }
  return spread;
}
alignas(64) constexpr Spread kSpread = make_spread();

// Takes a word into each state that has become too small; returns how many bytes of words that took.
inline size_t refill(__m256i& x, const uint8_t* words) {
  const __m256i small = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
  const auto taking = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(small)));
  const __m128i next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words));
  const __m128i shuffle = _mm_load_si128(reinterpret_cast<const __m128i*>(kSpread[taking].data()));
  const __m256i word = _mm256_cvtepu16_epi32(_mm_shuffle_epi8(next, shuffle));
  x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), word), small);
  return 2 * static_cast<size_t>(_mm_popcnt_u32(taking));
}

}  // namespace

bool decode_wide(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes) {
  const size_t whole = n / AnsWide::kStates * AnsWide::kStates;
  const uint8_t* words = stream.words;
  __m256i x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = load(stream.states + 8 * k);
  for (size_t i = 0; i < whole; i += AnsWide::kStates) {
    const __m256i first = step(table.slots, x);       // states 0-7, 16-23, 32-39, 48-55
    const __m256i second = step(table.slots, x + 1);  // the other ones
    for (size_t k = 0; k < kVectors; ++k) words += refill(x[k], words);
    if (words > stream.words_end) return false;
    store(codes + i, first);
    store(codes + i + 32, second);
  }
  for (size_t k = 0; k < kVectors; ++k) store(stream.states + 8 * k, x[k]);
  stream.words = words;
  return ans_decode_wide_from(table, stream, n - whole, codes + whole);
}

}  // namespace lpc::ans_avx2
