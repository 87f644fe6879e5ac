// The reference: what every other instruction set must reproduce, but for the order of the sum.
#include <cstddef>
#include <cstdint>
#include <cstring>

#define LPC_SIMD_NAMESPACE dot_bitmap_scalar
#define LPC_VECTOR_BYTES 16
#include "simd/dot/accumulate-inl.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline WordVector expand(uint64_t bits, const uint8_t* values) {
  uint16_t out[kHalves] = {};
  for (size_t i = 0; i < kHalves; ++i) {
    if ((bits >> i & 1) == 0) continue;
    std::memcpy(&out[i], values, sizeof out[i]);
    values += sizeof out[i];
  }
  return load_vector<WordVector>(out);
}

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc

#include "simd/bitmap/dot_bitmap-inl.h"
