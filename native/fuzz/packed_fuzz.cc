// Inputs: cases of codec packed (targets.h).
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lpc::fuzz::run_segment(LPC_CODEC_PACKED, {data, size});
  return 0;
}
