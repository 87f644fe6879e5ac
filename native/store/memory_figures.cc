#include "store/memory_figures.h"

#include <algorithm>

#include "base/error.h"
#include "codecs/layout.h"
#include "codecs/tensor.h"

namespace lpc {
namespace {

constexpr double kEscapeBits = 0.5;        // a weight, at most, as far as models are known: hi3 0.4, hi4p 0.04
constexpr double kTranscodedGrowth = 1.1;  // or so much more than in the file, if that is more
constexpr uint64_t kGroup = 64;            // columns
constexpr double kRowOverhead = 8, kSegmentOverhead = 256;

}  // namespace

uint64_t transcoded_bytes_bound(const lpc_tensor_desc& tensor, uint64_t stored_bytes) {
  const TensorRows rows = tensor_rows(tensor, DescSource::kCaller);
  if (tensor.dtype != LPC_DTYPE_BF16 || tensor.rank != 2) {
    throw Error(LPC_UNSUPPORTED, std::string("tensor: got dtype ") + dtype_name(tensor.dtype) + " and rank " +
                                     std::to_string(tensor.rank) + ", expected bf16 and 2");
  }
  const uint64_t columns = tensor.shape[1], groups = ceil_div(columns, kGroup), decoded = rows.rows * rows.row_bytes;
  const double row =
      static_cast<double>(kGroup * (groups + ceil_div(groups, 2))) + kRowOverhead + kEscapeBits / 8 * columns;
  const double packed = row * rows.rows + kSegmentOverhead * ceil_div(decoded, kDefaultSegmentBytes);
  return static_cast<uint64_t>(
      std::min(static_cast<double>(decoded), std::max(packed, kTranscodedGrowth * stored_bytes)));
}

}  // namespace lpc
