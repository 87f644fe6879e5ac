#include "codecs/bitmap/bitmap_encode.h"

#include <algorithm>

#include "codecs/ans/params.h"
#include "codecs/bitmap/segment_layout.h"
#include "codecs/codec.h"

namespace lpc::bitmap {
namespace {

// Bits and non-zeros of one row; `values` has room for one element more. Returns where the next value goes.
template <typename Word>
uint8_t* split_row(const uint8_t* row, size_t columns, uint8_t* bits, uint8_t* values) {
  for (size_t begin = 0; begin < columns; begin += 8) {
    unsigned byte = 0;
    for (size_t i = begin; i < std::min(columns, begin + 8); ++i) {
      Word word;
      std::memcpy(&word, row + i * sizeof word, sizeof word);
      std::memcpy(values, &word, sizeof word);  // kept only if not 0
      const bool set = word != 0;
      values += set ? sizeof word : 0;
      byte |= static_cast<unsigned>(set) << (i - begin);
    }
    bits[begin / 8] = static_cast<uint8_t>(byte);
  }
  return values;
}

using SplitRow = uint8_t* (*)(const uint8_t*, size_t, uint8_t*, uint8_t*);
SplitRow split_row_of(size_t element_bytes) {
  if (element_bytes == 1) return split_row<uint8_t>;
  return element_bytes == 2 ? split_row<uint16_t> : split_row<uint32_t>;
}

}  // namespace

std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src, lpc_codec inner) {
  std::vector<uint8_t> params(kParamsBytes, 0);
  params[kInnerCodecOffset] = static_cast<uint8_t>(inner);
  if (inner != LPC_CODEC_ANS) return params;
  ans::Counts counts;
  if (ans::table_kind(tensor.dtype) == ans::kWide) {  // elements of a byte; that of 0 is 0
    counts = ans::count_codes(tensor.dtype, src);
    counts.of[0] -= static_cast<uint64_t>(std::count(src.begin(), src.end(), uint8_t{0}));
  }
  const std::vector<uint8_t> table = ans::make_params(tensor.dtype, counts);
  params.insert(params.end(), table.begin(), table.end());
  return params;
}

// The values, with one to spare; and what the inner codec needs.
size_t encode_scratch_bytes(const SegmentShape& shape, const Codec& inner) {
  return shape.bytes() + 4 + inner.encode_scratch_bytes(inner_shape(shape, shape.elements()));
}

size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch) {
  const Layout layout(shape);
  if (dst.size() < layout.inner_offset) return 0;
  std::memset(dst.data(), 0, layout.inner_offset);
  const SplitRow split = split_row_of(layout.element_bytes);
  uint8_t* end = scratch.data();
  for (size_t r = 0; r < shape.rows; ++r) {
    end =
        split(&src[r * shape.row_bytes], layout.columns, &dst[layout.bitmap_offset + r * layout.row_bitmap_bytes], end);
    const size_t so_far = static_cast<size_t>(end - scratch.data()) / layout.element_bytes;
    store(&dst[kRowTableOffset + 4 * r], static_cast<uint32_t>(so_far));
  }
  const Bytes values = Bytes(scratch).first(static_cast<size_t>(end - scratch.data()));
  store(&dst[kNonZerosOffset], static_cast<uint32_t>(values.size() / layout.element_bytes));
  const Codec& inner = get_codec(params[kInnerCodecOffset]);
  const SegmentShape inner_of = inner_shape(shape, values.size() / layout.element_bytes);
  const MutableBytes to = dst.subspan(layout.inner_offset);
  if (!values.empty()) {
    const size_t worth_it = std::min<size_t>(to.size(), values.size() - ceil_div(values.size(), 100));
    const MutableBytes rest = scratch.subspan(shape.bytes() + 4);
    const size_t coded = inner.encode(inner_of, params.subspan(kParamsBytes), values, to.first(worth_it), rest);
    if (coded != 0) {
      dst[kInnerEncodingOffset] = 1;
      return layout.inner_offset + coded;
    }
  }
  if (to.size() < values.size()) return 0;
  std::copy(values.begin(), values.end(), to.begin());
  return layout.inner_offset + values.size();
}

}  // namespace lpc::bitmap
