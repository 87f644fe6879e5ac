// Inputs: cases (targets.h) of the codec LPC_FUZZ_CODEC, for each of which this file is compiled once.
#include <cstdlib>
#include <string_view>

#include "codecs/codec.h"
#include "fuzz/targets.h"

namespace {

uint32_t codec_id() {
  for (size_t i = 0; i < lpc::codec_count(); ++i) {
    if (lpc::codec_at(i).name() == std::string_view(LPC_FUZZ_CODEC)) return lpc::codec_at(i).id();
  }
  std::abort();  // a folder that is not in codecs/registry.cc
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const uint32_t codec = codec_id();
  lpc::fuzz::run_segment(codec, {data, size});
  return 0;
}
