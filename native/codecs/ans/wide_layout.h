// Where the parts of a wide `ans` segment lie (docs/format.md, 4.2).
#pragma once

#include "codecs/codec.h"
#include "simd/ans/ans.h"

namespace lpc::ans::wide {

inline constexpr size_t kWordCountOffset = 0;
inline constexpr size_t kReservedOffset = 4;
inline constexpr size_t kStatesOffset = 64;
inline constexpr size_t kWordsOffset = kStatesOffset + 4 * AnsWide::kStates;

}  // namespace lpc::ans::wide
