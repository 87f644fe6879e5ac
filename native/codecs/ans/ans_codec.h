#pragma once

#include "codecs/codec.h"

namespace lpc {

const Codec& ans_codec();

}  // namespace lpc
