// The codecs of this build: one line each.
#include <iterator>

#include "base/error.h"
#include "codecs/ans/ans_codec.h"
#include "codecs/bitmap/bitmap_codec.h"
#include "codecs/codec.h"
#include "codecs/lz4/lz4_codec.h"
#include "codecs/packed/packed_codec.h"
#include "codecs/stored/stored_codec.h"

namespace lpc {
namespace {

using Accessor = const Codec& (*)();

constexpr Accessor kCodecs[] = {
    stored_codec, lz4_codec, ans_codec, packed_codec, bitmap_codec,
};

}  // namespace

size_t codec_count() { return std::size(kCodecs); }

const Codec& codec_at(size_t index) { return kCodecs[index](); }

const Codec* find_codec(uint32_t id) {
  for (Accessor codec : kCodecs) {
    if (codec().id() == id) return &codec();
  }
  return nullptr;
}

const Codec& get_codec(uint32_t id) {
  if (const Codec* codec = find_codec(id)) return *codec;
  std::string known;
  for (Accessor codec : kCodecs) {
    known += (known.empty() ? "" : ", ") + std::to_string(codec().id()) + " (" + codec().name() + ")";
  }
  throw Error(LPC_UNSUPPORTED, "codec: got " + std::to_string(id) + ", expected one of " + known);
}

}  // namespace lpc
