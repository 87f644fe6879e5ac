#pragma once

#include "codecs/codec.h"

namespace lpc {

// Chooses the smallest layout for each tensor; variant() gives the same codec with a layout that is fixed.
const Codec& packed_codec();

}  // namespace lpc
