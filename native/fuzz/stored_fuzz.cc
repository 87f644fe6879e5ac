// Inputs: blobs, taken for blobs of codec stored.
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lpc::fuzz::run_container({data, size}, LPC_CODEC_STORED);
  return 0;
}
