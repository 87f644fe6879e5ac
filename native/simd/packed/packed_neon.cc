// NEON: 16 bytes a vector; escapes are placed by a table look-up whose indices are running counts of the escapes.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#define LPC_SIMD_NAMESPACE packed_neon
#define LPC_VECTOR_BYTES 16

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

struct Ops {
  using Bytes = uint8x16_t;
  using Table = Bytes;
  using Mask = Bytes;

  static Bytes load(const uint8_t* from) { return vld1q_u8(from); }
  template <unsigned kBits>
  static Table table(const uint8_t* bytes) {
    return vld1q_u8(bytes);
  }
  static Bytes fill(uint8_t byte) { return vdupq_n_u8(byte); }
  template <unsigned kShift, unsigned kBits>
  static Bytes lookup(Table table, Bytes v) {
    if constexpr (kShift != 0) v = vshrq_n_u8(v, kShift);
    return vqtbl1q_u8(table, kShift + kBits == 8 ? v : vandq_u8(v, vdupq_n_u8((1 << kBits) - 1)));
  }
  static Bytes spare(Bytes v0, Bytes v1, Bytes v2) {
    return vsliq_n_u8(vsliq_n_u8(vshrq_n_u8(v0, 6), vshrq_n_u8(v1, 6), 2), vshrq_n_u8(v2, 6), 4);
  }
  static Mask match(Bytes v, Bytes escape) { return vceqq_u8(v, escape); }
  template <typename Stream>
  static inline __attribute__((always_inline)) Bytes expand(Bytes v, Mask mask, Stream& from) {
    const Bytes zero = vdupq_n_u8(0);
    Bytes count = vsubq_u8(zero, mask);
    count = vaddq_u8(count, vextq_u8(zero, count, 15));
    count = vaddq_u8(count, vextq_u8(zero, count, 14));
    count = vaddq_u8(count, vextq_u8(zero, count, 12));
    count = vaddq_u8(count, vextq_u8(zero, count, 8));
    const Bytes source = vld1q_u8(from.next());
    from.used += vgetq_lane_u8(count, 15);
    return vbslq_u8(mask, vqtbl1q_u8(source, vsubq_u8(count, vdupq_n_u8(1))), v);
  }

  static Bytes replace(Bytes v, size_t lane, uint8_t byte) {
    alignas(16) static constexpr uint8_t kLanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return vbslq_u8(vceqq_u8(vld1q_u8(kLanes), fill(static_cast<uint8_t>(lane))), fill(byte), v);
  }
  template <typename Words>
  static void zip(Bytes low, Bytes high, Words& w0, Words& w1) {
    w0 = (Words)vzip1q_u8(low, high);
    w1 = (Words)vzip2q_u8(low, high);
  }

  static Bytes join_planes(const uint64_t* bits, size_t part) {
    alignas(16) static constexpr uint8_t kBitOfLane[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const Bytes bit_of_lane = vld1q_u8(kBitOfLane);
    Bytes codes = vdupq_n_u8(0);
    for (int p = 0; p < 3; ++p) {
      const auto word = static_cast<uint16_t>(bits[p] >> (16 * part));
      const Bytes spread = vcombine_u8(vdup_n_u8(static_cast<uint8_t>(word)), vdup_n_u8(word >> 8));
      codes = vorrq_u8(codes, vandq_u8(vtstq_u8(spread, bit_of_lane), vdupq_n_u8(static_cast<uint8_t>(1 << p))));
    }
    return codes;
  }
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/packed/packed-inl.h"
