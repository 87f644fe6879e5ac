// What the bytes of a weight in memory are.
#pragma once

#include <cstdint>

namespace lpc {

enum class Form : uint8_t {
  kDecoded,     // its elements, row by row
  kStored,      // its segments, as the codec of the file has them
  kTranscoded,  // its segments, encoded anew in another codec
};

}  // namespace lpc
