// Eight values of 16 bits to their places among zeros by one byte shuffle, for the x86 files of
// simd/bitmap/dot_bitmap.h.
#pragma once

#include "simd/bitmap/bitmap-inl.h"

namespace lpc {
namespace {

// The lowest eight bits say where.
inline __attribute__((always_inline)) __m128i place_eight(uint64_t bits, const uint8_t* values) {
  const uint8_t* const shuffle = kShuffles<2>[bits & 0xFF].data();
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(values)),
                          _mm_load_si128(reinterpret_cast<const __m128i*>(shuffle)));
}

}  // namespace
}  // namespace lpc
