// The reference: what every other instruction set must reproduce.
#include <cstddef>
#include <cstdint>
#include <cstring>

#define LPC_SIMD_NAMESPACE packed_scalar
#define LPC_VECTOR_BYTES 16

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

struct Ops {
  struct Bytes {
    uint8_t lane[16];
  };
  using Table = Bytes;
  using Mask = uint32_t;

  static Bytes load(const uint8_t* from) {
    Bytes out;
    std::memcpy(out.lane, from, sizeof out.lane);
    return out;
  }
  template <unsigned kBits>
  static Table table(const uint8_t* bytes) {
    return load(bytes);
  }
  static Bytes fill(uint8_t byte) {
    Bytes out;
    std::memset(out.lane, byte, sizeof out.lane);
    return out;
  }
  template <unsigned kShift, unsigned kBits>
  static Bytes lookup(const Table& table, Bytes v) {
    for (uint8_t& lane : v.lane) lane = table.lane[lane >> kShift & ((1 << kBits) - 1)];
    return v;
  }
  static Bytes spare(Bytes v0, Bytes v1, Bytes v2) {
    for (size_t i = 0; i < 16; ++i) {
      v0.lane[i] = static_cast<uint8_t>(v0.lane[i] >> 6 | v1.lane[i] >> 6 << 2 | v2.lane[i] >> 6 << 4);
    }
    return v0;
  }
  static Mask match(Bytes v, Bytes escape) {
    Mask mask = 0;
    for (size_t i = 0; i < 16; ++i) mask |= static_cast<Mask>(v.lane[i] == escape.lane[i]) << i;
    return mask;
  }
  template <typename Stream>
  static Bytes expand(Bytes v, Mask mask, Stream& from) {
    for (; mask != 0; mask &= mask - 1, ++from.used) v.lane[__builtin_ctz(mask)] = *from.next();
    return v;
  }
  static Bytes replace(Bytes v, size_t lane, uint8_t byte) {
    if (lane < 16) v.lane[lane] = byte;
    return v;
  }
  template <typename Words>
  static void zip(Bytes low, Bytes high, Words& w0, Words& w1) {
    uint8_t pairs[32];
    for (size_t i = 0; i < 16; ++i) {
      pairs[2 * i] = low.lane[i];
      pairs[2 * i + 1] = high.lane[i];
    }
    std::memcpy(&w0, pairs, 16);
    std::memcpy(&w1, pairs + 16, 16);
  }
  static Bytes join_planes(const uint64_t* bits, size_t part) {
    Bytes out;
    for (size_t i = 0; i < 16; ++i) {
      const size_t bit = part * 16 + i;
      out.lane[i] = static_cast<uint8_t>((bits[0] >> bit & 1) | (bits[1] >> bit & 1) << 1 | (bits[2] >> bit & 1) << 2);
    }
    return out;
  }
};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/packed/packed-inl.h"
