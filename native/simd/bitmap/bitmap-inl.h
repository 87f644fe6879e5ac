// The expansion of simd/bitmap/bitmap.h: one element at a time, and by shuffles of 16 bytes. In an unnamed namespace,
// so that no two translation units share code.
#pragma once

#include <array>
#include <cstring>

#include "simd/bitmap/bitmap.h"

namespace lpc {
namespace {

// Each instruction set uses what it needs of these.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"

// Elements [first, n), `taken` values having been taken before.
template <size_t kBytes>
inline size_t expand_from(size_t first, const uint8_t* bitmap, size_t n, const uint8_t* values, size_t taken,
                          uint8_t* out) {
  for (size_t i = first; i < n; ++i) {
    const bool set = bitmap[i / 8] >> (i % 8) & 1;
    if (set) {
      std::memcpy(out + i * kBytes, values + taken * kBytes, kBytes);
      ++taken;
    } else {
      std::memset(out + i * kBytes, 0, kBytes);
    }
  }
  return taken;
}

template <size_t kBytes>
size_t expand_loop(const uint8_t* bitmap, size_t n, const uint8_t* values, const uint8_t*, uint8_t* out) {
  return expand_from<kBytes>(0, bitmap, n, values, 0, out);
}

// How many elements a shuffle of 16 bytes places: as many bits select it.
template <size_t kBytes>
inline constexpr size_t kPlaced = kBytes == 4 ? 4 : 8;

// By bits: which value goes where; 0x80 gives a zero.
template <size_t kBytes>
using Shuffles = std::array<std::array<uint8_t, 16>, 1 << kPlaced<kBytes>>;

template <size_t kBytes>
constexpr Shuffles<kBytes> make_shuffles() {
  Shuffles<kBytes> shuffles{};
  for (size_t bits = 0; bits < shuffles.size(); ++bits) {
    uint8_t next = 0;
    for (size_t i = 0; i < 16; ++i) {
      const bool set = i / kBytes < kPlaced<kBytes> && (bits >> (i / kBytes) & 1) != 0;
      shuffles[bits][i] = set ? next++ : 0x80;
    }
  }
  return shuffles;
}
template <size_t kBytes>
alignas(64) inline constexpr Shuffles<kBytes> kShuffles = make_shuffles<kBytes>();

// Vector::place(values, shuffle, out) reads 16 bytes of values and writes 16 bytes. Of single bytes only 8 are meant;
// those after them are overwritten by the next step.
template <typename Vector, size_t kBytes>
size_t expand_shuffled(const uint8_t* bitmap, size_t n, const uint8_t* values, const uint8_t* values_end,
                       uint8_t* out) {
  constexpr size_t kStep = kPlaced<kBytes>;
  const uint8_t* const start = values;
  size_t i = 0;
  constexpr size_t kRoom = kBytes == 1 ? 16 : 8;  // elements of the output that a round of 8 overwrites
  while (i + kRoom <= n && values_end - values >= 32) {
    const unsigned bits = bitmap[i / 8];
    for (size_t k = 0; k < 8; k += kStep) {
      const unsigned some = kStep == 8 ? bits : bits >> k & 15;
      Vector::place(values, kShuffles<kBytes>[some].data(), out + (i + k) * kBytes);
      values += kBytes * static_cast<size_t>(__builtin_popcount(some));
    }
    i += 8;
  }
  return expand_from<kBytes>(i, bitmap, n, start, static_cast<size_t>(values - start) / kBytes, out);
}

#pragma GCC diagnostic pop

}  // namespace
}  // namespace lpc
