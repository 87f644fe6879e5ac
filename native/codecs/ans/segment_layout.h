// Where the parts of an `ans` segment lie (docs/format.md, 4.2).
#pragma once

#include "codecs/codec.h"
#include "codecs/layout.h"
#include "simd/ans.h"
#include "simd/split.h"

namespace lpc::ans {

inline constexpr size_t kWordCountOffset = 0;
inline constexpr size_t kEscapeCountOffset = 4;
inline constexpr size_t kSegmentReservedOffset = 8;
inline constexpr size_t kStatesOffset = 64;
inline constexpr size_t kRawOffset = kStatesOffset + 4 * kAnsStates;
inline constexpr size_t kChunk = 4096;  // elements whose code bytes are held at a time
inline constexpr uint8_t kBias = 0;     // the exponent's code byte is its distance from 0

struct Layout {
  explicit Layout(const SegmentShape& shape)
      : elements(shape.elements()), words_offset(kRawOffset + raw_arrays(shape.dtype) * elements) {}

  size_t elements;
  size_t words_offset;
};

}  // namespace lpc::ans
