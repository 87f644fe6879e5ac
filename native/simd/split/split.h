// Element transforms of the lz4 codec (docs/format.md, 4.1): elements <-> code bytes + raw arrays, and code bytes <->
// bit planes. One table of functions an instruction set, all with the same results byte for byte.
//
// No pointer needs an alignment, and nothing is read or written outside the stated lengths.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lpc/lpc.h"

namespace lpc {

inline constexpr size_t kPlanes = 8;
inline constexpr size_t kFp16Planes = 3;                       // bits of the mantissa in a code byte of fp16
inline constexpr size_t kDtypeSlots = LPC_DTYPE_FP8_E5M2 + 1;  // indexed by lpc_dtype; slot 0 is empty

// Number of raw arrays of a dtype (R in the format), and of exponent bits (0 for the integers).
constexpr size_t raw_arrays(uint32_t dtype) {
  return dtype == LPC_DTYPE_FP32 ? 3 : dtype == LPC_DTYPE_BF16 || dtype == LPC_DTYPE_FP16 ? 1 : 0;
}
constexpr unsigned exponent_bits(uint32_t dtype) {
  switch (dtype) {
    case LPC_DTYPE_BF16:
    case LPC_DTYPE_FP32: return 8;
    case LPC_DTYPE_FP16:
    case LPC_DTYPE_FP8_E5M2: return 5;
    case LPC_DTYPE_FP8_E4M3: return 4;
    default: return 0;
  }
}

struct SplitKernels {
  // Writes n code bytes, and n bytes at raw + r * raw_stride for each raw array r.
  using Split = void (*)(const uint8_t* elements, size_t n, uint8_t bias, uint8_t* codes, uint8_t* raw,
                         size_t raw_stride);
  using Join = void (*)(const uint8_t* codes, const uint8_t* raw, size_t raw_stride, size_t n, uint8_t bias,
                        uint8_t* elements);
  // A plane holds ceil(n / 8) bytes; unused bits of its last byte are written as 0 and ignored when read.
  using ToPlanes = void (*)(const uint8_t* codes, size_t n, uint8_t* const planes[kPlanes]);
  // planes[p] may be null: all bits 0.
  using FromPlanes = void (*)(const uint8_t* const planes[kPlanes], size_t n, uint8_t* codes);

  // Join of fp16 whose code bytes are only the exponents: bits 0 to 2 are those of planes[0] to planes[2].
  using JoinFp16Planes = void (*)(const uint8_t* codes, const uint8_t* const planes[kFp16Planes], const uint8_t* raw,
                                  size_t n, uint8_t bias, uint8_t* elements);

  // How many bits of n bytes are 1.
  using CountOnes = uint64_t (*)(const uint8_t* bytes, size_t n);

  Split split[kDtypeSlots];
  Join join[kDtypeSlots];
  ToPlanes to_planes;
  FromPlanes from_planes;
  JoinFp16Planes join_fp16_planes;
  CountOnes count_ones;
};

// Those of active_isa(); throws what active_isa throws.
const SplitKernels& split_kernels();

}  // namespace lpc
