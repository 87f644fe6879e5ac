// AVX2: 16 states a vector, 32 of them looked up at a time by byte shuffles.
#include <immintrin.h>

#include <array>

#include "simd/ans/ans_narrow-inl.h"

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

// By set of eight states that give a byte: the shuffle that brings their low bytes together, to the end of eight.
using Gather = std::array<std::array<uint8_t, 8>, 256>;
constexpr Gather make_gather() {
  Gather gather{};
  for (size_t giving = 0; giving < gather.size(); ++giving) {
    size_t next = 8;
    for (size_t lane = 8; lane-- > 0;) {
      if (giving >> lane & 1) gather[giving][--next] = static_cast<uint8_t>(2 * lane);
    }
  }
  return gather;
}
alignas(64) constexpr Gather kGather = make_gather();

inline void give(__m128i states, unsigned giving, uint8_t*& bytes) {
  const __m128i places = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kGather[giving].data()));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(bytes - 8), _mm_shuffle_epi8(states, places));
  bytes -= _mm_popcnt_u32(giving);
}

inline __m256i at_least(__m256i a, __m256i b) { return _mm256_cmpeq_epi16(_mm256_max_epu16(a, b), a); }

// Of 16 states, the numbers of the symbol that each codes.
struct Numbers {
  __m256i frequency, first, reciprocal;
};

// Codes on 16 states; returns the places in `slots`, and x becomes its new upper byte. `bytes` moves down by what the
// states give away.
inline __m256i put(__m256i& x, const Numbers& of, uint8_t*& bytes) {
  const __m256i full = at_least(x, _mm256_slli_epi16(of.frequency, 8));
  const auto giving = static_cast<unsigned>(
      _mm_movemask_epi8(_mm_packs_epi16(_mm256_castsi256_si128(full), _mm256_extracti128_si256(full, 1))));
  give(_mm256_extracti128_si256(x, 1), giving >> 8, bytes);
  give(_mm256_castsi256_si128(x), giving & 255, bytes);
  x = _mm256_blendv_epi8(x, _mm256_srli_epi16(x, 8), full);
  const __m256i quotient = _mm256_mulhi_epu16(x, of.reciprocal);  // at most 1 too small
  const __m256i rest = _mm256_sub_epi16(x, _mm256_mullo_epi16(quotient, of.frequency));
  const __m256i more = at_least(rest, of.frequency);
  x = _mm256_slli_epi16(_mm256_sub_epi16(quotient, more), 8);
  return _mm256_add_epi16(of.first, _mm256_sub_epi16(rest, _mm256_and_si256(more, of.frequency)));
}

struct EncodeTables {
  __m256i frequency, first, reciprocal_low, reciprocal_high;

  explicit EncodeTables(const AnsNarrowEncoder& table)
      : frequency(sixteen(table.frequency)), first(sixteen(table.first)) {
    const AnsReciprocals reciprocals(table);
    reciprocal_low = sixteen(reciprocals.low);
    reciprocal_high = sixteen(reciprocals.high);
  }

  Numbers even(__m256i symbols) const {
    const __m256i low_byte = _mm256_set1_epi16(0x00FF);
    return {_mm256_and_si256(_mm256_shuffle_epi8(frequency, symbols), low_byte),
            _mm256_and_si256(_mm256_shuffle_epi8(first, symbols), low_byte),
            _mm256_or_si256(_mm256_and_si256(_mm256_shuffle_epi8(reciprocal_low, symbols), low_byte),
                            _mm256_slli_epi16(_mm256_shuffle_epi8(reciprocal_high, symbols), 8))};
  }
  Numbers odd(__m256i symbols) const { return even(_mm256_srli_epi16(symbols, 8)); }
};

// What 64 bytes stand for in a table of 256.
inline void look_up(const uint8_t* table, const uint8_t* from, uint8_t* to) {
#pragma GCC unroll 16
  for (size_t i = 0; i < 64; ++i) to[i] = table[from[i]];
}

// Codes 64 code bytes on four vectors of states, as decode_narrow has them; returns which ones are escapes.
inline uint64_t put_half(const AnsNarrowEncoder& table, const EncodeTables& tables, const uint8_t* codes, __m256i* x,
                         uint8_t*& bytes) {
  alignas(32) uint8_t memory[64];
  look_up(table.symbol, codes, memory);
  const __m256i low = load(memory), high = load(memory + 32);
  const __m256i high_odd = put(x[3], tables.odd(high), bytes), low_odd = put(x[2], tables.odd(low), bytes);
  const __m256i high_even = put(x[1], tables.even(high), bytes), low_even = put(x[0], tables.even(low), bytes);
  const auto store = [](uint8_t* to, __m256i v) { _mm256_store_si256(reinterpret_cast<__m256i*>(to), v); };
  store(memory, _mm256_or_si256(low_even, _mm256_slli_epi16(low_odd, 8)));
  store(memory + 32, _mm256_or_si256(high_even, _mm256_slli_epi16(high_odd, 8)));
  look_up(table.slots, memory, memory);
  const __m256i low_byte = _mm256_set1_epi16(0x00FF);
  for (size_t k = 0; k < 2; ++k) {
    const __m256i slots = load(memory + 32 * k);
    x[k] = _mm256_or_si256(x[k], _mm256_and_si256(slots, low_byte));
    x[k + 2] = _mm256_or_si256(x[k + 2], _mm256_srli_epi16(slots, 8));
  }
  const __m256i escape = _mm256_set1_epi8(AnsNarrow::kEscapeSymbol);
  const auto escaped = [&](__m256i symbols) {
    return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(symbols, escape)));
  };
  return escaped(low) | static_cast<uint64_t>(escaped(high)) << 32;
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
  const size_t whole = n / AnsNarrow::kStates * AnsNarrow::kStates;
  if (whole < n) ans_encode_narrow(table, codes + whole, n - whole, writer);
  const EncodeTables tables(table);
  uint8_t* bytes = writer.bytes;
  __m256i x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = load(writer.states + kLanes * k);
  for (size_t i = whole; i != 0;) {
    i -= AnsNarrow::kStates;
    const uint64_t second = put_half(table, tables, codes + i + 64, x + 4, bytes);
    const uint64_t first = put_half(table, tables, codes + i, x, bytes);
    if (__builtin_expect((first | second) == 0, 1)) continue;
    ans_write_escapes(codes + i + 64, second, writer);
    ans_write_escapes(codes + i, first, writer);
  }
  for (size_t k = 0; k < kVectors; ++k) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(writer.states + kLanes * k), x[k]);
  }
  writer.bytes = bytes;
}

}  // namespace lpc::ans_avx2
