// NEON: a group is sixteen vectors of 4 states. Narrow tables are looked up by byte shuffles of 16 states at a time.
#include <arm_neon.h>

#include <array>

#include "simd/ans-inl.h"

namespace lpc::ans_neon {
namespace {

constexpr size_t kVectors = 16;
constexpr size_t kQuarters = 4;  // of a group: vectors q, q + 4, q + 8, q + 12 make one vector of bytes

inline uint8x16_t bytes_of(uint32x4_t v) { return vreinterpretq_u8_u32(v); }
inline uint16x8_t halves_of(uint8x16_t v) { return vreinterpretq_u16_u8(v); }
inline uint32x4_t even(uint16x8_t v) { return vandq_u32(vreinterpretq_u32_u16(v), vdupq_n_u32(0xFFFF)); }
inline uint32x4_t odd(uint16x8_t v) { return vshrq_n_u32(vreinterpretq_u32_u16(v), 16); }

// Four vectors of which byte k of each 32-bit lane belongs to vector k, as 16-bit numbers: 0 and 2, 1 and 3.
inline uint16x8_t first_pair(uint8x16_t low, uint8x16_t high) {
  return vsliq_n_u16(vandq_u16(halves_of(low), vdupq_n_u16(0xFF)), halves_of(high), 8);
}
inline uint16x8_t second_pair(uint8x16_t low, uint8x16_t high) {
  return vsriq_n_u16(halves_of(high), halves_of(low), 8);
}

inline uint32x4_t advance(uint32x4_t x, uint32x4_t frequency, uint32x4_t offset) {
  return vmlaq_u32(offset, frequency, vshrq_n_u32(x, kAnsPrecision));
}

struct Narrow {
  uint8x16_t divider, alias, frequency_low, frequency_high, delta_low, delta_high, symbols;
  uint8x16_t escape;  // no symbol if there is none

  explicit Narrow(const AnsTable& table) {
    uint8_t bytes[4][kAnsSymbols];
    for (size_t i = 0; i < kAnsSymbols; ++i) {
      bytes[0][i] = static_cast<uint8_t>(table.frequency[i]);
      bytes[1][i] = static_cast<uint8_t>(table.frequency[i] >> 8);
      bytes[2][i] = static_cast<uint8_t>(table.delta[i]);
      bytes[3][i] = static_cast<uint8_t>(static_cast<uint16_t>(table.delta[i]) >> 8);
    }
    divider = vld1q_u8(table.divider);
    alias = vld1q_u8(table.alias);
    frequency_low = vld1q_u8(bytes[0]);
    frequency_high = vld1q_u8(bytes[1]);
    delta_low = vld1q_u8(bytes[2]);
    delta_high = vld1q_u8(bytes[3]);
    symbols = vld1q_u8(table.symbols);
    escape = vdupq_n_u8(table.has_escape ? kAnsSymbols - 1 : 255);
  }

  // Advances the vectors x[0], x[4], x[8], x[12] and returns their symbols.
  uint8x16_t step(uint32x4_t* x) const {
    const uint16x8_t first = vreinterpretq_u16_u32(vsliq_n_u32(vandq_u32(x[0], vdupq_n_u32(0xFFFF)), x[8], 16));
    const uint16x8_t second = vreinterpretq_u16_u32(vsliq_n_u32(vandq_u32(x[4], vdupq_n_u32(0xFFFF)), x[12], 16));
    const uint16x8_t low_byte = vdupq_n_u16(0xFF);
    const uint16x8_t rests = vsliq_n_u16(vandq_u16(first, low_byte), second, 8);
    const uint8x16_t rest = vreinterpretq_u8_u16(rests);
    const uint8x16_t bucket = vandq_u8(vreinterpretq_u8_u16(vsriq_n_u16(second, first, 8)), vdupq_n_u8(15));
    const uint8x16_t aliased = vcgeq_u8(rest, vqtbl1q_u8(divider, bucket));
    const uint8x16_t symbol = vbslq_u8(aliased, vqtbl1q_u8(alias, bucket), bucket);
    const uint8x16_t low = vqtbl1q_u8(frequency_low, symbol);
    const uint8x16_t high = vqtbl1q_u8(frequency_high, symbol);
    const uint8x16_t shift_low = vandq_u8(aliased, vqtbl1q_u8(delta_low, bucket));
    const uint8x16_t shift_high = vandq_u8(aliased, vqtbl1q_u8(delta_high, bucket));
    const uint16x8_t offset0 = vaddq_u16(first_pair(shift_low, shift_high), vandq_u16(rests, low_byte));
    const uint16x8_t offset1 = vaddq_u16(second_pair(shift_low, shift_high), vshrq_n_u16(rests, 8));
    const uint16x8_t frequency0 = first_pair(low, high);
    const uint16x8_t frequency1 = second_pair(low, high);
    x[0] = advance(x[0], even(frequency0), even(offset0));
    x[8] = advance(x[8], odd(frequency0), odd(offset0));
    x[4] = advance(x[4], even(frequency1), even(offset1));
    x[12] = advance(x[12], odd(frequency1), odd(offset1));
    return symbol;
  }

  bool write(const uint8x16_t (&quarters)[kQuarters], AnsStream& stream, uint8_t* codes) const {
    uint8x16_t any = vdupq_n_u8(0);
    for (size_t q = 0; q < kQuarters; ++q) {
      vst1q_u8(codes + 16 * q, vqtbl1q_u8(symbols, quarters[q]));
      any = vorrq_u8(any, vceqq_u8(quarters[q], escape));
    }
    if (__builtin_expect(vmaxvq_u8(any) == 0, 1)) return true;
    uint8_t places[kAnsStates];
    for (size_t q = 0; q < kQuarters; ++q) vst1q_u8(places + 16 * q, vceqq_u8(quarters[q], escape));
    uint64_t escaped = 0;
    for (size_t i = 0; i < kAnsStates; ++i) escaped |= static_cast<uint64_t>(places[i] & 1) << i;
    return ans_fill_escapes(stream, escaped, codes);
  }
};

struct Wide {
  const uint32_t* slots;

  explicit Wide(const AnsTable& table) : slots(table.slots) {}

  uint8x16_t step(uint32x4_t* x) const {
    uint32x4_t symbols = vdupq_n_u32(0);
    for (size_t k = 4; k-- > 0;) {
      uint32x4_t& state = x[4 * k];
      uint32_t entries[4];
      vst1q_u32(entries, vandq_u32(state, vdupq_n_u32(kAnsSlots - 1)));
      for (uint32_t& entry : entries) entry = slots[entry];
      const uint32x4_t entry = vld1q_u32(entries);
      const uint32x4_t frequency = vandq_u32(vshrq_n_u32(entry, 8), vdupq_n_u32(kAnsSlots - 1));
      state = advance(state, frequency, vshrq_n_u32(entry, 20));
      symbols = vorrq_u32(vshlq_n_u32(symbols, 8), vandq_u32(entry, vdupq_n_u32(255)));
    }
    return bytes_of(symbols);
  }

  bool write(const uint8x16_t (&quarters)[kQuarters], AnsStream&, uint8_t* codes) const {
    for (size_t q = 0; q < kQuarters; ++q) vst1q_u8(codes + 16 * q, quarters[q]);
    return true;
  }
};

// By set of states that take a word: the shuffle that brings the next words to them, and how many bytes that is.
struct Spread {
  std::array<std::array<uint8_t, 8>, 16> shuffle{};
  std::array<uint8_t, 16> bytes{};
};
constexpr Spread make_spread() {
  Spread spread{};
  for (size_t taking = 0; taking < 16; ++taking) {
    uint8_t next = 0;
    for (size_t lane = 0; lane < 4; ++lane) {
      const bool takes = taking >> lane & 1;
      spread.shuffle[taking][2 * lane] = takes ? next : 0x80;
      spread.shuffle[taking][2 * lane + 1] = takes ? static_cast<uint8_t>(next + 1) : 0x80;
      if (takes) next = static_cast<uint8_t>(next + 2);
    }
    spread.bytes[taking] = next;
  }
  return spread;
}
constexpr Spread kSpread = make_spread();

// Takes a word into each state that has become too small; returns how many bytes of words that took.
inline size_t refill(uint32x4_t& x, const uint8_t* words) {
  constexpr uint32_t kBits[4] = {1, 2, 4, 8};
  const uint32x4_t small = vcltq_u32(x, vdupq_n_u32(kAnsLowest));
  const uint32_t taking = vaddvq_u32(vandq_u32(small, vld1q_u32(kBits)));
  const uint8x8_t word = vtbl1_u8(vld1_u8(words), vld1_u8(kSpread.shuffle[taking].data()));
  const uint32x4_t filled = vorrq_u32(vshlq_n_u32(x, 16), vmovl_u16(vreinterpret_u16_u8(word)));
  x = vbslq_u32(small, filled, x);
  return kSpread.bytes[taking];
}

template <typename Table>
bool decode_groups(const AnsTable& table, AnsStream& stream, size_t groups, uint8_t* codes) {
  const Table lookup(table);
  const uint8_t* words = stream.words;
  uint32x4_t x[kVectors];
  uint8x16_t quarters[kQuarters];
  for (size_t k = 0; k < kVectors; ++k) x[k] = vld1q_u32(stream.states + 4 * k);
  for (size_t g = 0; g < groups; ++g) {
    for (size_t q = 0; q < kQuarters; ++q) quarters[q] = lookup.step(x + q);
    for (size_t k = 0; k < kVectors; ++k) words += refill(x[k], words);
    if (words > stream.words_end) return false;
    if (!lookup.write(quarters, stream, codes + kAnsStates * g)) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) vst1q_u32(stream.states + 4 * k, x[k]);
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

}  // namespace lpc::ans_neon
