#include "codecs/checksum.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "codecs/layout.h"
#include "simd/xxh3/xxh3.h"

namespace lpc {

uint64_t checksum(Bytes bytes) { return xxh3_64(bytes.data(), bytes.size()); }

uint64_t header_checksum(Bytes header) {
  constexpr uint8_t kZeros[8] = {};
  constexpr size_t kAfter = field::kHeaderChecksum.offset + sizeof kZeros;
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, header.data(), field::kHeaderChecksum.offset);
  XXH3_64bits_update(&state, kZeros, sizeof kZeros);
  XXH3_64bits_update(&state, header.data() + kAfter, header.size() - kAfter);
  return XXH3_64bits_digest(&state);
}

}  // namespace lpc
