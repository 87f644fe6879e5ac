// NEON: 8 states a vector, 16 of them looked up at a time by byte shuffles.
#include <arm_neon.h>

#include <array>

#include "simd/ans/ans_narrow-inl.h"

namespace lpc::ans_neon {
namespace {

constexpr size_t kVectors = 16;  // of states
constexpr size_t kLanes = 8;

struct Tables {
  uint8x16_t symbols, frequency, divider, alias, delta, escape;

  explicit Tables(const AnsNarrow& table)
      : symbols(vld1q_u8(table.symbols)),
        frequency(vld1q_u8(table.frequency)),
        divider(vld1q_u8(table.divider)),
        alias(vld1q_u8(table.alias)),
        delta(vld1q_u8(table.delta)),
        escape(vdupq_n_u8(table.symbols[AnsNarrow::kEscapeSymbol])) {}

  // Advances two vectors of states and writes their code bytes; returns which ones are escapes.
  uint8x16_t step(uint16x8_t& even, uint16x8_t& odd, uint8_t* codes) const {
    const uint16x8_t low_byte = vdupq_n_u16(0xFF);
    const uint8x16_t slots = vreinterpretq_u8_u16(vsliq_n_u16(vandq_u16(even, low_byte), odd, 8));
    const uint8x16_t bucket = vshrq_n_u8(slots, 4);
    const uint8x16_t rest = vandq_u8(slots, vdupq_n_u8(15));
    const uint8x16_t aliased = vcgeq_u8(rest, vqtbl1q_u8(divider, bucket));
    const uint8x16_t symbol = vbslq_u8(aliased, vqtbl1q_u8(alias, bucket), bucket);
    const uint16x8_t f = vreinterpretq_u16_u8(vqtbl1q_u8(frequency, symbol));
    const uint16x8_t o = vreinterpretq_u16_u8(vaddq_u8(rest, vandq_u8(aliased, vqtbl1q_u8(delta, bucket))));
    const uint8x16_t c = vqtbl1q_u8(symbols, symbol);
    vst1q_u8(codes, c);
    even = vmlaq_u16(vandq_u16(o, low_byte), vandq_u16(f, low_byte), vshrq_n_u16(even, 8));
    odd = vmlaq_u16(vshrq_n_u16(o, 8), vshrq_n_u16(f, 8), vshrq_n_u16(odd, 8));
    return vceqq_u8(c, escape);
  }
};

// By set of states that take a byte: the shuffle that brings the next bytes to them.
using Spread = std::array<std::array<uint8_t, 8>, 256>;
constexpr Spread make_spread() {
  Spread spread{};
  for (size_t taking = 0; taking < spread.size(); ++taking) {
    uint8_t next = 0;
    for (size_t lane = 0; lane < 8; ++lane) spread[taking][lane] = taking >> lane & 1 ? next++ : 0x80;
  }
  return spread;
}
constexpr Spread kSpread = make_spread();

// Takes a byte into each state that has become too small; returns how many.
inline size_t refill(uint16x8_t& x, const uint8_t* bytes) {
  constexpr uint16_t kBits[kLanes] = {1, 2, 4, 8, 16, 32, 64, 128};
  const uint16x8_t small = vcltq_u16(x, vdupq_n_u16(AnsNarrow::kLowest));
  const unsigned taking = vaddvq_u16(vandq_u16(small, vld1q_u16(kBits)));
  const uint8x8_t next = vtbl1_u8(vld1_u8(bytes), vld1_u8(kSpread[taking].data()));
  x = vbslq_u16(small, vorrq_u16(vshlq_n_u16(x, 8), vmovl_u8(next)), x);
  return static_cast<size_t>(__builtin_popcount(taking));
}

// Fills the escapes of 64 code bytes.
__attribute__((noinline)) bool fill(AnsNarrowStream& stream, const uint8x16_t* escaped, uint8_t* codes) {
  uint8_t bytes[64];
  for (size_t q = 0; q < 4; ++q) vst1q_u8(bytes + 16 * q, escaped[q]);
  uint64_t places = 0;
  for (size_t i = 0; i < 64; ++i) places |= static_cast<uint64_t>(bytes[i] & 1) << i;
  return ans_fill_escapes(stream, places, codes);
}

}  // namespace

bool decode_narrow(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes) {
  const Tables tables(table);
  const size_t whole = n / AnsNarrow::kStates * AnsNarrow::kStates;
  const uint8_t* bytes = stream.bytes;
  uint16x8_t x[kVectors];
  for (size_t k = 0; k < kVectors; ++k) x[k] = vld1q_u16(stream.states + kLanes * k);
  for (size_t i = 0; i < whole; i += AnsNarrow::kStates) {
    uint8x16_t escaped[8], any = vdupq_n_u8(0);
    for (size_t part = 0; part < 8; ++part) {  // 16 code bytes each
      uint16x8_t* const of = x + part / 4 * 8 + part % 4;
      escaped[part] = tables.step(of[0], of[4], codes + i + 16 * part);
      any = vorrq_u8(any, escaped[part]);
    }
    for (size_t k = 0; k < kVectors; ++k) bytes += refill(x[k], bytes);
    if (bytes > stream.bytes_end) return false;
    if (__builtin_expect(vmaxvq_u8(any) == 0, 1)) continue;
    if (!fill(stream, escaped, codes + i) || !fill(stream, escaped + 4, codes + i + 64)) return false;
  }
  for (size_t k = 0; k < kVectors; ++k) vst1q_u16(stream.states + kLanes * k, x[k]);
  stream.bytes = bytes;
  return ans_decode_narrow_from(table, stream, n - whole, codes + whole);
}

void encode_narrow(const AnsNarrowEncoder& table, const uint8_t* codes, size_t n, AnsNarrowWriter& writer) {
  ans_encode_narrow(table, codes, n, writer);
}

}  // namespace lpc::ans_neon
