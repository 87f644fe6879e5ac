#pragma once

#include "codecs/codec.h"

namespace lpc {

const Codec& stored_codec();

}  // namespace lpc
