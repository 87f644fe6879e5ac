// Inputs: cases of codec lz4 (targets.h).
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lpc::fuzz::run_segment(LPC_CODEC_LZ4, {data, size});
  return 0;
}
