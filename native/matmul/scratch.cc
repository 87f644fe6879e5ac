#include "matmul/scratch.h"

#include "simd/dot.h"
#include "simd/packed.h"

namespace lpc {

const float* arranged(const float* x, size_t k) {
  thread_local Scratch scratch;
  float* const out = scratch.get<float>(packed_groups(k) * kPackedGroup);
  dot_kernels().arrange(x, k, out);
  return out;
}

}  // namespace lpc
