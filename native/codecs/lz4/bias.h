#pragma once

#include "codecs/codec.h"

namespace lpc::lz4 {

// The bias under which the exponents of a segment make the most compressible planes; 0 for the integers.
uint8_t choose_bias(uint32_t dtype, Bytes elements);

}  // namespace lpc::lz4
