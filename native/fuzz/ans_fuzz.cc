// Inputs: cases of codec ans (targets.h).
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lpc::fuzz::run_segment(LPC_CODEC_ANS, {data, size});
  return 0;
}
