// Inputs: blobs.
#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lpc::fuzz::run_container({data, size});
  return 0;
}
