#include "simd/xxh3.h"

#include "simd/isa.h"

namespace lpc {
namespace {

using Xxh3 = uint64_t (*)(const uint8_t*, size_t);

Xxh3 choose() {
#if defined(__x86_64__)
  switch (active_isa()) {
    case Isa::kAvx512Vbmi2:
    case Isa::kAvx512: return xxh3_64_avx512;
    case Isa::kAvx2: return xxh3_64_avx2;
    default: break;
  }
#endif
  return xxh3_64_base;
}

}  // namespace

uint64_t xxh3_64(const uint8_t* bytes, size_t n) {
  static const Xxh3 xxh3 = choose();
  return xxh3(bytes, n);
}

}  // namespace lpc
