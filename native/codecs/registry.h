// The codecs of this build.
#pragma once

#include "codecs/codec.h"

namespace lpc {

// Null for an id that this build does not know.
const Codec* find_codec(uint32_t id);

// Throws LPC_UNSUPPORTED, naming the codecs that there are.
const Codec& get_codec(uint32_t id);

}  // namespace lpc
