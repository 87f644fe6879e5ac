// AVX2: a group is eight vectors of 8 states. Narrow tables are looked up by byte shuffles of 32 states at a time.
#include <immintrin.h>

#include <array>

#include "simd/ans-inl.h"

namespace lpc::ans_avx2 {
namespace {

constexpr size_t kVectors = 8;
constexpr size_t kHalf = 4;  // vectors whose bytes make one vector

inline __m256i load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline void store(void* to, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }
inline __m256i broadcast(const uint8_t* table) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
}

// Four vectors of which byte k of each 32-bit lane belongs to vector k, as 16-bit numbers: 0 and 2, 1 and 3.
struct Pairs {
  __m256i first, second;
};

// 16-bit numbers of four vectors from their low and high bytes.
inline Pairs widen(__m256i low, __m256i high) {
  const __m256i low_byte = _mm256_set1_epi16(0x00FF);
  return {_mm256_or_si256(_mm256_and_si256(low, low_byte), _mm256_slli_epi16(high, 8)),
          _mm256_or_si256(_mm256_srli_epi16(low, 8), _mm256_andnot_si256(low_byte, high))};
}

inline __m256i even(__m256i pairs) { return _mm256_and_si256(pairs, _mm256_set1_epi32(0xFFFF)); }
inline __m256i odd(__m256i pairs) { return _mm256_srli_epi32(pairs, 16); }

inline __m256i advance(__m256i x, __m256i frequency, __m256i offset) {
  return _mm256_add_epi32(_mm256_mullo_epi32(frequency, _mm256_srli_epi32(x, kAnsPrecision)), offset);
}

struct Narrow {
  __m256i divider, alias, frequency_low, frequency_high, delta_low, delta_high, symbols;
  __m256i escape;  // no symbol if there is none

  explicit Narrow(const AnsTable& table) {
    uint8_t bytes[4][kAnsSymbols];
    for (size_t i = 0; i < kAnsSymbols; ++i) {
      bytes[0][i] = static_cast<uint8_t>(table.frequency[i]);
      bytes[1][i] = static_cast<uint8_t>(table.frequency[i] >> 8);
      bytes[2][i] = static_cast<uint8_t>(table.delta[i]);
      bytes[3][i] = static_cast<uint8_t>(static_cast<uint16_t>(table.delta[i]) >> 8);
    }
    divider = broadcast(table.divider);
    alias = broadcast(table.alias);
    frequency_low = broadcast(bytes[0]);
    frequency_high = broadcast(bytes[1]);
    delta_low = broadcast(bytes[2]);
    delta_high = broadcast(bytes[3]);
    symbols = broadcast(table.symbols);
    escape = _mm256_set1_epi8(table.has_escape ? kAnsSymbols - 1 : -1);
  }

  // Advances the four vectors x[0], x[2], x[4], x[6] and returns their symbols.
  __m256i step(__m256i* x) const {
    const __m256i low_byte = _mm256_set1_epi16(0x00FF);
    const __m256i first = _mm256_blend_epi16(x[0], _mm256_slli_epi32(x[4], 16), 0xAA);
    const __m256i second = _mm256_blend_epi16(x[2], _mm256_slli_epi32(x[6], 16), 0xAA);
    const __m256i rest = _mm256_or_si256(_mm256_and_si256(first, low_byte), _mm256_slli_epi16(second, 8));
    const __m256i high = _mm256_or_si256(_mm256_srli_epi16(first, 8), _mm256_andnot_si256(low_byte, second));
    const __m256i bucket = _mm256_and_si256(high, _mm256_set1_epi8(15));
    const __m256i limit = _mm256_shuffle_epi8(divider, bucket);
    const __m256i aliased = _mm256_cmpeq_epi8(_mm256_max_epu8(rest, limit), rest);
    const __m256i symbol = _mm256_blendv_epi8(bucket, _mm256_shuffle_epi8(alias, bucket), aliased);
    const Pairs frequency =
        widen(_mm256_shuffle_epi8(frequency_low, symbol), _mm256_shuffle_epi8(frequency_high, symbol));
    const Pairs delta = widen(_mm256_and_si256(aliased, _mm256_shuffle_epi8(delta_low, bucket)),
                              _mm256_and_si256(aliased, _mm256_shuffle_epi8(delta_high, bucket)));
    const __m256i offset0 = _mm256_add_epi16(delta.first, _mm256_and_si256(rest, low_byte));
    const __m256i offset1 = _mm256_add_epi16(delta.second, _mm256_srli_epi16(rest, 8));
    x[0] = advance(x[0], even(frequency.first), even(offset0));
    x[4] = advance(x[4], odd(frequency.first), odd(offset0));
    x[2] = advance(x[2], even(frequency.second), even(offset1));
    x[6] = advance(x[6], odd(frequency.second), odd(offset1));
    return symbol;
  }

  bool write(const __m256i (&halves)[2], AnsStream& stream, uint8_t* codes) const {
    store(codes, _mm256_shuffle_epi8(symbols, halves[0]));
    store(codes + 32, _mm256_shuffle_epi8(symbols, halves[1]));
    const auto low = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(halves[0], escape)));
    const auto high = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(halves[1], escape)));
    const uint64_t escaped = low | static_cast<uint64_t>(high) << 32;
    return __builtin_expect(escaped == 0, 1) || ans_fill_escapes(stream, escaped, codes);
  }
};

struct Wide {
  const uint32_t* slots;

  explicit Wide(const AnsTable& table) : slots(table.slots) {}

  __m256i step(__m256i* x) const {
    const __m256i slot_mask = _mm256_set1_epi32(kAnsSlots - 1);
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

  bool write(const __m256i (&halves)[2], AnsStream&, uint8_t* codes) const {
    store(codes, halves[0]);
    store(codes + 32, halves[1]);
    return true;
  }
};

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

template <typename Table>
bool decode_groups(const AnsTable& table, AnsStream& stream, size_t groups, uint8_t* codes) {
  const Table lookup(table);
  const uint8_t* words = stream.words;
  const uint8_t* const end = stream.words_end;
  __m256i x[kVectors], halves[2];
  for (size_t k = 0; k < kVectors; ++k) x[k] = load(stream.states + 8 * k);
  for (size_t g = 0; g < groups; ++g) {
    halves[0] = lookup.step(x);      // states 0-7, 16-23, 32-39, 48-55
    halves[1] = lookup.step(x + 1);  // the other ones
    for (size_t k = 0; k < kVectors; ++k) words += refill(x[k], words);
    if (words > end) return false;
    if (!lookup.write(halves, stream, codes + kAnsStates * g)) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) store(stream.states + 8 * k, x[k]);
  stream.words = words;
  return true;
}

bool decode(const AnsTable& table, AnsStream& stream, size_t n, uint8_t* codes) {
  const size_t groups = n / kAnsStates;
  const size_t done = groups * kAnsStates;
  if (table.narrow) {
    return decode_groups<Narrow>(table, stream, groups, codes) &&
           ans_decode_from<true>(table, stream, n - done, codes + done);
  }
  return decode_groups<Wide>(table, stream, groups, codes) &&
         ans_decode_from<false>(table, stream, n - done, codes + done);
}

}  // namespace

extern const AnsKernels ans;
const AnsKernels ans = {decode};

}  // namespace lpc::ans_avx2
