// XXH3-64 with seed 0, with the widest vectors of active_isa(): reading is then all that a checksum costs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lpc {

// Throws what active_isa() throws.
uint64_t xxh3_64(const uint8_t* bytes, size_t n);

// One an instruction set; the base is what the architecture always has (SSE2, NEON).
uint64_t xxh3_64_base(const uint8_t* bytes, size_t n);
uint64_t xxh3_64_avx2(const uint8_t* bytes, size_t n);
uint64_t xxh3_64_avx512(const uint8_t* bytes, size_t n);

}  // namespace lpc
