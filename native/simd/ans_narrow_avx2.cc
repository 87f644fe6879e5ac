// AVX2: 16 states a vector, 32 of them looked up at a time by byte shuffles.
#include <immintrin.h>

#include <array>

#include "simd/ans_narrow-inl.h"

namespace lpc::ans_avx2 {
namespace {

constexpr size_t kVectors = 8;  // of states
constexpr size_t kLanes = 16;

inline __m256i load(const void* from) { return _mm256_load_si256(static_cast<const __m256i*>(from)); }
inline __m256i sixteen(const uint8_t* table) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}

struct Tables {
  __m256i symbols, frequency, divider, alias, delta, escape;

  explicit Tables(const AnsNarrow& table)
      : symbols(sixteen(table.symbols)),
        frequency(sixteen(table.frequency)),
        divider(sixteen(table.divider)),
        alias(sixteen(table.alias)),
        delta(sixteen(table.delta)),
        escape(_mm256_set1_epi8(static_cast<char>(table.symbols[AnsNarrow::kEscapeSymbol]))) {}

  // Advances two vectors of states and writes their code bytes; returns which ones are escapes.
  uint32_t step(__m256i& even, __m256i& odd, uint8_t* codes) const {
    const __m256i low_byte = _mm256_set1_epi16(0x00FF), nibble = _mm256_set1_epi8(15);
    const __m256i slots = _mm256_or_si256(_mm256_and_si256(even, low_byte), _mm256_slli_epi16(odd, 8));
    const __m256i bucket = _mm256_and_si256(_mm256_srli_epi16(slots, 4), nibble);
    const __m256i rest = _mm256_and_si256(slots, nibble);
    const __m256i own = _mm256_cmpgt_epi8(_mm256_shuffle_epi8(divider, bucket), rest);
    const __m256i symbol = _mm256_blendv_epi8(_mm256_shuffle_epi8(alias, bucket), bucket, own);
    const __m256i f = _mm256_shuffle_epi8(frequency, symbol);
    const __m256i o = _mm256_add_epi8(rest, _mm256_andnot_si256(own, _mm256_shuffle_epi8(delta, bucket)));
    const __m256i c = _mm256_shuffle_epi8(symbols, symbol);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), c);
    even = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_and_si256(f, low_byte), _mm256_srli_epi16(even, 8)),
                            _mm256_and_si256(o, low_byte));
    odd = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_srli_epi16(f, 8), _mm256_srli_epi16(odd, 8)),
                           _mm256_srli_epi16(o, 8));
    return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(c, escape)));
  }
};

// By set of eight states that take a byte: the shuffle that brings the next bytes to them.
using Spread = std::array<std::array<uint8_t, 16>, 256>;
constexpr Spread make_spread() {
  Spread spread{};
  for (size_t taking = 0; taking < spread.size(); ++taking) {
    uint8_t next = 0;
    for (size_t lane = 0; lane < 8; ++lane) {
      spread[taking][2 * lane] = taking >> lane & 1 ? next++ : 0x80;
      spread[taking][2 * lane + 1] = 0x80;
    }
  }
  return spread;
}
alignas(64) constexpr Spread kSpread = make_spread();

inline __m128i spread(const uint8_t* bytes, unsigned taking) {
  const __m128i next = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
  return _mm_shuffle_epi8(next, _mm_load_si128(reinterpret_cast<const __m128i*>(kSpread[taking].data())));
}

// Takes a byte into each state that has become too small; returns how many.
inline size_t refill(__m256i& x, const uint8_t* bytes) {
  const __m256i small = _mm256_cmpeq_epi16(_mm256_srli_epi16(x, 8), _mm256_setzero_si256());
  const auto taking = static_cast<unsigned>(
      _mm_movemask_epi8(_mm_packs_epi16(_mm256_castsi256_si128(small), _mm256_extracti128_si256(small, 1))));
  const auto in_first = static_cast<size_t>(_mm_popcnt_u32(taking & 255));
  const __m256i next = _mm256_set_m128i(spread(bytes + in_first, taking >> 8), spread(bytes, taking & 255));
  x = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi16(x, 8), next), small);
  return static_cast<size_t>(_mm_popcnt_u32(taking));
}

}  // namespace

bool decode_narrow(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes) {
  const Tables tables(table);
  const size_t whole = n / AnsNarrow::kStates * AnsNarrow::kStates;
  const uint8_t* bytes = stream.bytes;
  __m256i x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = load(stream.states + kLanes * k);
  for (size_t i = 0; i < whole; i += AnsNarrow::kStates) {
    uint64_t escaped[2];
    for (size_t half = 0; half < 2; ++half) {
      __m256i* const of = x + 4 * half;
      const uint32_t low = tables.step(of[0], of[2], codes + i + 64 * half);
      const uint32_t high = tables.step(of[1], of[3], codes + i + 64 * half + 32);
      escaped[half] = low | static_cast<uint64_t>(high) << 32;
    }
    for (size_t k = 0; k < kVectors; ++k) bytes += refill(x[k], bytes);
    if (bytes > stream.bytes_end) return false;
    if (__builtin_expect((escaped[0] | escaped[1]) == 0, 1)) continue;
    if (!ans_fill_escapes(stream, escaped[0], codes + i)) return false;
    if (!ans_fill_escapes(stream, escaped[1], codes + i + 64)) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(stream.states + kLanes * k), x[k]);
  }
  stream.bytes = bytes;
  return ans_decode_narrow_from(table, stream, n - whole, codes + whole);
}

void encode_narrow(const AnsNarrowEncoder& table, const uint8_t* codes, size_t n, AnsNarrowWriter& writer) {
  ans_encode_narrow(table, codes, n, writer);
}

}  // namespace lpc::ans_avx2
