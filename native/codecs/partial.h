// Partial compression, after Wang et al., "When Compression Meets Model Compression": only so many segments are encoded
// that decoding keeps up with the bus.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lpc/lpc.h"

namespace lpc {

// Whether segment `index` is one of the raw_parts in LPC_PARTIAL_WHOLE that stay raw: the encoded ones are spread
// evenly, the last of a run of raw ones.
constexpr bool stays_raw(uint64_t index, uint32_t raw_parts) {
  const uint64_t encoded = LPC_PARTIAL_WHOLE - raw_parts;
  return (index + 1) * encoded / LPC_PARTIAL_WHOLE == index * encoded / LPC_PARTIAL_WHOLE;
}

// lpc_partial_fraction. Throws LPC_INVALID_ARGUMENT.
double partial_fraction(const lpc_rates& rates);

}  // namespace lpc
