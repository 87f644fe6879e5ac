// Slots of symbols from how often they occur.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc::ans {

// Frequencies of `n` symbols that sum up to `slots`: at least 1 for what occurs, and at most slots - 1. The same on
// every machine.
void normalise(const uint64_t* counts, size_t n, uint32_t slots, uint32_t* frequencies);

}  // namespace lpc::ans
