// NEON: a group is sixteen vectors of 4 states.
#include <arm_neon.h>

#include <array>

#include "simd/ans/ans_wide-inl.h"

namespace lpc::ans_neon {
namespace {

constexpr size_t kVectors = 16;
constexpr size_t kQuarters = 4;  // of a group: vectors q, q + 4, q + 8, q + 12 make one vector of bytes

inline uint32x4_t advance(uint32x4_t x, uint32x4_t frequency, uint32x4_t offset) {
  return vmlaq_u32(offset, frequency, vshrq_n_u32(x, AnsWide::kPrecision));
}

// Advances the vectors x[0], x[4], x[8], x[12] and returns their code bytes.
inline uint8x16_t step(const uint32_t* slots, uint32x4_t* x) {
  uint32x4_t symbols = vdupq_n_u32(0);
  for (size_t k = 4; k-- > 0;) {
    uint32x4_t& state = x[4 * k];
    uint32_t entries[4];
    vst1q_u32(entries, vandq_u32(state, vdupq_n_u32(AnsWide::kSlots - 1)));
    for (uint32_t& entry : entries) entry = slots[entry];
    const uint32x4_t entry = vld1q_u32(entries);
    const uint32x4_t frequency = vandq_u32(vshrq_n_u32(entry, 8), vdupq_n_u32(AnsWide::kSlots - 1));
    state = advance(state, frequency, vshrq_n_u32(entry, 20));
    symbols = vorrq_u32(vshlq_n_u32(symbols, 8), vandq_u32(entry, vdupq_n_u32(255)));
  }
  return vreinterpretq_u8_u32(symbols);
}

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
  const uint32x4_t small = vcltq_u32(x, vdupq_n_u32(AnsWide::kLowest));
  const uint32_t taking = vaddvq_u32(vandq_u32(small, vld1q_u32(kBits)));
  const uint8x8_t word = vtbl1_u8(vld1_u8(words), vld1_u8(kSpread.shuffle[taking].data()));
  const uint32x4_t filled = vorrq_u32(vshlq_n_u32(x, 16), vmovl_u16(vreinterpret_u16_u8(word)));
  x = vbslq_u32(small, filled, x);
  return kSpread.bytes[taking];
}

}  // namespace

bool decode_wide(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes) {
  const size_t whole = n / AnsWide::kStates * AnsWide::kStates;
  const uint8_t* words = stream.words;
  uint32x4_t x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = vld1q_u32(stream.states + 4 * k);
  for (size_t i = 0; i < whole; i += AnsWide::kStates) {
    for (size_t q = 0; q < kQuarters; ++q) vst1q_u8(codes + i + 16 * q, step(table.slots, x + q));
    for (size_t k = 0; k < kVectors; ++k) words += refill(x[k], words);
    if (words > stream.words_end) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) vst1q_u32(stream.states + 4 * k, x[k]);
  stream.words = words;
  return ans_decode_wide_from(table, stream, n - whole, codes + whole);
}

}  // namespace lpc::ans_neon
