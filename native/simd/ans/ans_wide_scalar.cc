// The reference: what every other instruction set must reproduce.
#include "simd/ans/ans_wide-inl.h"

namespace lpc::ans_scalar {

bool decode_wide(const AnsWide& table, AnsWideStream& stream, size_t n, uint8_t* codes) {
  return ans_decode_wide_from(table, stream, n, codes);
}

}  // namespace lpc::ans_scalar
