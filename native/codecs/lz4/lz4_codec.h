#pragma once

#include "codecs/codec.h"

namespace lpc {

const Codec& lz4_codec();

}  // namespace lpc
