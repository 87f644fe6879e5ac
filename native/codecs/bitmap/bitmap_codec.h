#pragma once

#include "codecs/codec.h"

namespace lpc {

// Codes the non-zeros by `ans`; variant() gives the same codec with another inner codec.
const Codec& bitmap_codec();

}  // namespace lpc
