// The reference: what every other instruction set must reproduce.
#include "simd/ans-inl.h"

namespace lpc::ans_scalar {
namespace {

bool decode(const AnsTable& table, AnsStream& stream, size_t n, uint8_t* codes) {
  return table.narrow ? ans_decode_from<true>(table, stream, n, codes)
                      : ans_decode_from<false>(table, stream, n, codes);
}

}  // namespace

extern const AnsKernels ans;
const AnsKernels ans = {decode};

}  // namespace lpc::ans_scalar
