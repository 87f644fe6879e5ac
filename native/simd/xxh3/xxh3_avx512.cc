#include "simd/avx512_intrinsics.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "simd/xxh3/xxh3.h"

namespace lpc {

uint64_t xxh3_64_avx512(const uint8_t* bytes, size_t n) { return XXH3_64bits(bytes, n); }

}  // namespace lpc
