// AVX-512 (F, BW, DQ, VL): a group is four vectors of 16 states; narrow tables are looked up in registers.
#include "simd/ans-inl.h"
#include "simd/avx512_intrinsics.h"

namespace lpc::ans_avx512 {
namespace {

constexpr size_t kVectors = 4;

// Entries by bucket: frequency | symbol << 12 | delta << 16.
struct Narrow {
  __m512i divider, own, alias, symbols;
  __m512i escape;  // no symbol if there is none

  explicit Narrow(const AnsTable& table) {
    alignas(64) uint32_t own_entries[kAnsSymbols], alias_entries[kAnsSymbols];
    for (uint32_t b = 0; b < kAnsSymbols; ++b) {
      const uint32_t symbol = table.alias[b];
      own_entries[b] = table.frequency[b] | b << 12;
      alias_entries[b] = table.frequency[symbol] | symbol << 12 | static_cast<uint32_t>(table.delta[b]) << 16;
    }
    divider = _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(table.divider)));
    own = _mm512_load_si512(own_entries);
    alias = _mm512_load_si512(alias_entries);
    symbols = _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table.symbols)));
    escape = _mm512_set1_epi8(table.has_escape ? kAnsSymbols - 1 : -1);
  }

  // Advances the states and returns the entries.
  __m512i step(__m512i& x) const {
    const __m512i rest = _mm512_and_si512(x, _mm512_set1_epi32(kAnsBucket - 1));
    const __m512i bucket = _mm512_srli_epi32(x, 8);  // permutexvar looks at the low four bits only
    const __mmask16 aliased = _mm512_cmpge_epu32_mask(rest, _mm512_permutexvar_epi32(bucket, divider));
    __m512i entry = _mm512_permutexvar_epi32(bucket, own);
    entry = _mm512_mask_permutexvar_epi32(entry, aliased, bucket, alias);
    const __m512i frequency = _mm512_and_si512(entry, _mm512_set1_epi32(kAnsSlots - 1));
    const __m512i offset = _mm512_add_epi32(rest, _mm512_srai_epi32(entry, 16));
    x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, kAnsPrecision)), offset);
    return entry;
  }

  // Bits 12 to 15 of each entry, to the bytes of one vector.
  static __m512i symbol_bytes(const __m512i (&e)[kVectors]) {
    const __m512i low = _mm512_and_si512(_mm512_srli_epi32(e[0], 12), _mm512_set1_epi32(0xF));
    const __m512i second = _mm512_and_si512(_mm512_srli_epi32(e[1], 4), _mm512_set1_epi32(0xF00));
    const __m512i third = _mm512_and_si512(_mm512_slli_epi32(e[2], 4), _mm512_set1_epi32(0xF0000));
    const __m512i high = _mm512_and_si512(_mm512_slli_epi32(e[3], 12), _mm512_set1_epi32(0xF000000));
    return _mm512_or_si512(_mm512_or_si512(low, second), _mm512_or_si512(third, high));
  }

  bool write(const __m512i (&entries)[kVectors], AnsStream& stream, uint8_t* codes) const {
    const __m512i bytes = symbol_bytes(entries);
    _mm512_storeu_si512(codes, _mm512_shuffle_epi8(symbols, bytes));
    const uint64_t escaped = _mm512_cmpeq_epi8_mask(bytes, escape);
    return __builtin_expect(escaped == 0, 1) || ans_fill_escapes(stream, escaped, codes);
  }
};

struct Wide {
  const uint32_t* slots;

  explicit Wide(const AnsTable& table) : slots(table.slots) {}

  __m512i step(__m512i& x) const {
    const __m512i slot_mask = _mm512_set1_epi32(kAnsSlots - 1);
    const __m512i entry = _mm512_i32gather_epi32(_mm512_and_si512(x, slot_mask), slots, 4);
    const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(entry, 8), slot_mask);
    x = _mm512_add_epi32(_mm512_mullo_epi32(frequency, _mm512_srli_epi32(x, kAnsPrecision)),
                         _mm512_srli_epi32(entry, 20));
    return entry;
  }

  bool write(const __m512i (&e)[kVectors], AnsStream&, uint8_t* codes) const {
    const __m512i byte = _mm512_set1_epi32(255);
    const __m512i low = _mm512_and_si512(e[0], byte);
    const __m512i second = _mm512_slli_epi32(_mm512_and_si512(e[1], byte), 8);
    const __m512i third = _mm512_slli_epi32(_mm512_and_si512(e[2], byte), 16);
    const __m512i high = _mm512_slli_epi32(e[3], 24);
    _mm512_storeu_si512(codes, _mm512_or_si512(_mm512_or_si512(low, second), _mm512_or_si512(third, high)));
    return true;
  }
};

// Takes a word into each state that has become too small; returns how many bytes of words that took.
inline size_t refill(__m512i& x, const uint8_t* words) {
  const __mmask16 small = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(kAnsLowest));
  const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(words)));
  x = _mm512_mask_or_epi32(x, small, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(small, next));
  return 2 * static_cast<size_t>(_mm_popcnt_u32(small));
}

template <typename Table>
bool decode_groups(const AnsTable& table, AnsStream& stream, size_t groups, uint8_t* codes) {
  const Table lookup(table);
  const uint8_t* words = stream.words;
  const uint8_t* const end = stream.words_end;
  __m512i x[kVectors], entries[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = _mm512_load_si512(stream.states + 16 * k);
  for (size_t g = 0; g < groups; ++g) {
    for (size_t k = 0; k < kVectors; ++k) entries[k] = lookup.step(x[k]);
    for (size_t k = 0; k < kVectors; ++k) words += refill(x[k], words);
    if (words > end) return false;
    if (!lookup.write(entries, stream, codes + kAnsStates * g)) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) _mm512_store_si512(stream.states + 16 * k, x[k]);
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

}  // namespace lpc::ans_avx512
