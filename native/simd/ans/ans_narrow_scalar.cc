// The reference: what every other instruction set must reproduce.
#include "simd/ans/ans_narrow-inl.h"

namespace lpc::ans_scalar {

bool decode_narrow(const AnsNarrow& table, AnsNarrowStream& stream, size_t n, uint8_t* codes) {
  return ans_decode_narrow_from(table, stream, n, codes);
}

void encode_narrow(const AnsNarrowEncoder& table, const uint8_t* codes, size_t n, AnsNarrowWriter& writer) {
  ans_encode_narrow(table, codes, n, writer);
}

}  // namespace lpc::ans_scalar
