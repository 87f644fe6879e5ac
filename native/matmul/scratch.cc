#include "matmul/scratch.h"

#include "simd/dot/dot.h"
#include "simd/packed/packed.h"

namespace lpc {

size_t arranged_columns(size_t k) { return packed_groups(k) * kPackedGroup; }

const float* arranged(const float* x, size_t m, size_t k) {
  thread_local Scratch scratch;
  const size_t stride = arranged_columns(k);
  float* const out = scratch.get<float>(m * stride);
  for (size_t i = 0; i < m; ++i) dot_kernels().arrange(x + i * k, k, out + i * stride);
  return out;
}

}  // namespace lpc
