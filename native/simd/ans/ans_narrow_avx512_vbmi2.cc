// AVX-512 with VBMI2: 32 states a vector, and what a slot stands for looked up in tables of 256 bytes in registers.
#include "simd/ans/ans_narrow-inl.h"
#include "simd/avx512_intrinsics.h"

namespace lpc::ans_avx512_vbmi2 {
namespace {

constexpr size_t kVectors = 4;  // of states
constexpr size_t kLanes = 32;

// A byte for each of the 256 slots.
struct BySlot {
  __m512i part[4];

  // `high`: the top bits of the slots.
  __m512i look_up(__m512i slots, __mmask64 high) const {
    return _mm512_mask_blend_epi8(high, _mm512_permutex2var_epi8(part[0], slots, part[1]),
                                  _mm512_permutex2var_epi8(part[2], slots, part[3]));
  }
};

inline __m512i sixteen(const uint8_t* table) {
  return _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
}

inline BySlot by_slot(const uint8_t* table) {
  BySlot by;
  for (size_t p = 0; p < 4; ++p) by.part[p] = _mm512_load_si512(table + 64 * p);
  return by;
}

struct Tables {
  BySlot code, frequency, offset;
  __m512i escape;

  explicit Tables(const AnsNarrow& table) : escape(_mm512_set1_epi8(static_cast<char>(table.symbols[15]))) {
    alignas(64) static constexpr uint8_t kBuckets[64] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3};
    const __m512i rest = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    for (int p = 0; p < 4; ++p) {
      const __m512i bucket = _mm512_add_epi8(_mm512_load_si512(kBuckets), _mm512_set1_epi8(static_cast<char>(4 * p)));
      const __mmask64 aliased = _mm512_cmpge_epu8_mask(rest, _mm512_shuffle_epi8(sixteen(table.divider), bucket));
      const __m512i symbol = _mm512_mask_shuffle_epi8(bucket, aliased, sixteen(table.alias), bucket);
      const __m512i delta = _mm512_maskz_shuffle_epi8(aliased, sixteen(table.delta), bucket);
      code.part[p] = _mm512_shuffle_epi8(sixteen(table.symbols), symbol);
      frequency.part[p] = _mm512_shuffle_epi8(sixteen(table.frequency), symbol);
      offset.part[p] = _mm512_add_epi8(rest, delta);
    }
  }

  // Advances two vectors of states and writes their code bytes; returns which ones are escapes.
  __mmask64 step(__m512i& even, __m512i& odd, uint8_t* codes) const {
    const __m512i low_byte = _mm512_set1_epi16(0x00FF);
    const __m512i slots = _mm512_or_si512(_mm512_and_si512(even, low_byte), _mm512_slli_epi16(odd, 8));
    const __mmask64 high = _mm512_movepi8_mask(slots);
    const __m512i f = frequency.look_up(slots, high);
    const __m512i o = offset.look_up(slots, high);
    const __m512i c = code.look_up(slots, high);
    _mm512_storeu_si512(codes, c);
    even = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_and_si512(f, low_byte), _mm512_srli_epi16(even, 8)),
                            _mm512_and_si512(o, low_byte));
    odd = _mm512_add_epi16(_mm512_mullo_epi16(_mm512_srli_epi16(f, 8), _mm512_srli_epi16(odd, 8)),
                           _mm512_srli_epi16(o, 8));
    return _mm512_cmpeq_epi8_mask(c, escape);
  }
};

// Takes a byte into each state that has become too small; returns how many.
inline size_t refill(__m512i& x, const uint8_t* bytes) {
  const __mmask32 small = _mm512_cmplt_epu16_mask(x, _mm512_set1_epi16(AnsNarrow::kLowest));
  const __m512i next = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
  x = _mm512_or_si512(_mm512_mask_slli_epi16(x, small, x, 8), _mm512_maskz_expand_epi16(small, next));
  return static_cast<size_t>(_mm_popcnt_u32(small));
}

struct EncodeTables {
  BySlot symbol, slots;
  __m512i frequency, first, reciprocal_low, reciprocal_high;

  explicit EncodeTables(const AnsNarrowEncoder& table)
      : symbol(by_slot(table.symbol)),
        slots(by_slot(table.slots)),
        frequency(sixteen(table.frequency)),
        first(sixteen(table.first)) {
    const AnsReciprocals reciprocals(table);
    reciprocal_low = sixteen(reciprocals.low);
    reciprocal_high = sixteen(reciprocals.high);
  }
};

// Codes on 32 states, of which each lane has the numbers of its symbol; returns the places in `slots`, and x becomes
// its new upper byte. `bytes` moves down by what the states give away.
inline __m512i put(__m512i& x, __m512i frequency, __m512i first, __m512i reciprocal, uint8_t*& bytes) {
  const __mmask32 full = _mm512_cmpge_epu16_mask(x, _mm512_slli_epi16(frequency, 8));
  const auto count = static_cast<unsigned>(_mm_popcnt_u32(full));
  bytes -= count;
  _mm256_mask_storeu_epi8(bytes, static_cast<__mmask32>((uint64_t{1} << count) - 1),
                          _mm256_maskz_compress_epi8(full, _mm512_cvtepi16_epi8(x)));
  x = _mm512_mask_srli_epi16(x, full, x, 8);
  __m512i quotient = _mm512_mulhi_epu16(x, reciprocal);  // at most 1 too small
  __m512i rest = _mm512_sub_epi16(x, _mm512_mullo_epi16(quotient, frequency));
  const __mmask32 more = _mm512_cmpge_epu16_mask(rest, frequency);
  quotient = _mm512_mask_add_epi16(quotient, more, quotient, _mm512_set1_epi16(1));
  rest = _mm512_mask_sub_epi16(rest, more, rest, frequency);
  x = _mm512_slli_epi16(quotient, 8);
  return _mm512_add_epi16(first, rest);
}

// Codes 64 code bytes on two vectors of states; returns which ones are escapes.
inline __mmask64 put_half(const EncodeTables& tables, const uint8_t* codes, __m512i& even, __m512i& odd,
                          uint8_t*& bytes) {
  const __m512i low_byte = _mm512_set1_epi16(0x00FF);
  const __m512i code = _mm512_loadu_si512(codes);
  const __m512i symbol = tables.symbol.look_up(code, _mm512_movepi8_mask(code));
  const __m512i f = _mm512_shuffle_epi8(tables.frequency, symbol);
  const __m512i first = _mm512_shuffle_epi8(tables.first, symbol);
  const __m512i low = _mm512_shuffle_epi8(tables.reciprocal_low, symbol);
  const __m512i high = _mm512_shuffle_epi8(tables.reciprocal_high, symbol);
  const __m512i odd_at = put(odd, _mm512_srli_epi16(f, 8), _mm512_srli_epi16(first, 8),
                             _mm512_or_si512(_mm512_srli_epi16(low, 8), _mm512_andnot_si512(low_byte, high)), bytes);
  const __m512i even_at = put(even, _mm512_and_si512(f, low_byte), _mm512_and_si512(first, low_byte),
                              _mm512_or_si512(_mm512_and_si512(low, low_byte), _mm512_slli_epi16(high, 8)), bytes);
  const __m512i at = _mm512_or_si512(even_at, _mm512_slli_epi16(odd_at, 8));
  const __m512i slot = tables.slots.look_up(at, _mm512_movepi8_mask(at));
  even = _mm512_or_si512(even, _mm512_and_si512(slot, low_byte));
  odd = _mm512_or_si512(odd, _mm512_srli_epi16(slot, 8));
  return _mm512_cmpeq_epi8_mask(symbol, _mm512_set1_epi8(AnsNarrow::kEscapeSymbol));
}

}  // namespace

void encode_narrow(const AnsNarrowEncoder& table, const uint8_t* codes, size_t n, AnsNarrowWriter& writer) {
  const size_t whole = n / AnsNarrow::kStates * AnsNarrow::kStates;
  if (whole < n) ans_encode_narrow(table, codes + whole, n - whole, writer);
  const EncodeTables tables(table);
  uint8_t* bytes = writer.bytes;
  __m512i x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = _mm512_load_si512(writer.states + kLanes * k);
  for (size_t i = whole; i != 0;) {
    i -= AnsNarrow::kStates;
    const __mmask64 second = put_half(tables, codes + i + 64, x[2], x[3], bytes);
    const __mmask64 first = put_half(tables, codes + i, x[0], x[1], bytes);
    if (__builtin_expect(_kortestz_mask64_u8(first, second), 1)) continue;
    ans_write_escapes(codes + i + 64, second, writer);
    ans_write_escapes(codes + i, first, writer);
  }
  for (size_t k = 0; k < kVectors; ++k) _mm512_store_si512(writer.states + kLanes * k, x[k]);
  writer.bytes = bytes;
}

bool decode_narrow(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes) {
  const Tables tables(table);
  const size_t whole = n / AnsNarrow::kStates * AnsNarrow::kStates;
  const uint8_t* bytes = stream.bytes;
  __m512i x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = _mm512_load_si512(stream.states + kLanes * k);
  for (size_t i = 0; i < whole; i += AnsNarrow::kStates) {
    const __mmask64 first = tables.step(x[0], x[1], codes + i);
    const __mmask64 second = tables.step(x[2], x[3], codes + i + 64);
    for (size_t k = 0; k < kVectors; ++k) bytes += refill(x[k], bytes);
    if (bytes > stream.bytes_end) return false;
    if (__builtin_expect(_kortestz_mask64_u8(first, second), 1)) continue;
    if (!ans_fill_escapes(stream, first, codes + i) || !ans_fill_escapes(stream, second, codes + i + 64)) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) _mm512_store_si512(stream.states + kLanes * k, x[k]);
  stream.bytes = bytes;
  return ans_decode_narrow_from(table, stream, n - whole, codes + whole);
}

}  // namespace lpc::ans_avx512_vbmi2
