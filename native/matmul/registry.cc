#include "matmul/registry.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "codecs/tensor.h"
#include "matmul/bitmap_matrix.h"
#include "matmul/decoded_matrix.h"
#include "matmul/int8_matrix.h"
#include "matmul/packed_matrix.h"

namespace lpc {
namespace {

template <typename Kind>
constexpr MatrixKind on_cpu() {
  return {Kind::can_hold,
          {[](const MatrixSource& source) -> std::unique_ptr<Matrix> { return std::make_unique<Kind>(source); }}};
}

constexpr std::array kKinds{on_cpu<DecodedMatrix>(), on_cpu<Int8Matrix>(), on_cpu<PackedMatrix>(),
                            on_cpu<BitmapMatrix>()};

const MatrixKind* find_kind(const BlobHeader& header, Form form, const RowScales& scales) {
  const auto found =
      std::find_if(kKinds.begin(), kKinds.end(), [&](const auto& kind) { return kind.can_hold(header, form, scales); });
  return found == kKinds.end() ? nullptr : &*found;
}

}  // namespace

bool can_multiply_stored(const BlobHeader& header) { return find_kind(header, Form::kStored, {}) != nullptr; }

std::unique_ptr<Matrix> open_matrix(const MatrixSource& source, Backend backend) {
  const MatrixKind* kind = find_kind(source.header, source.form, source.scales);
  const auto open = kind == nullptr ? nullptr : kind->open[static_cast<size_t>(backend)];
  if (open == nullptr) {
    throw Error(LPC_UNSUPPORTED, std::string("no product of dtype ") + dtype_name(source.header.tensor.dtype) +
                                     (source.form != Form::kDecoded ? " from the stored form of its codec" : "") +
                                     (source.scales.values.empty() ? "" : " with scales"));
  }
  return open(source);
}

}  // namespace lpc
