#include "codecs/packed/packed_codec.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "codecs/layout.h"
#include "codecs/packed/packed_encode.h"
#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "codecs/tensor.h"

namespace lpc {
namespace packed {

PackedRows open_segment(const PackedTables& tables, const SegmentShape& shape, Bytes stored) {
  const PackedLayout kind = tables.layout;
  const Layout layout(kind, shape);
  if (stored.size() < layout.side_offset + kPackedPadding) {
    throw_field(LPC_FORMAT_ERROR, "segment size", 0, std::to_string(stored.size()),
                "at least " + std::to_string(layout.side_offset + kPackedPadding) + " for this shape");
  }
  const size_t side_bytes = stored.size() - layout.side_offset - kPackedPadding;
  uint32_t before = 0;
  for (size_t i = 0; i < layout.table_entries; ++i) {
    const uint32_t entry = load<uint32_t>(&stored[4 * i]);
    const bool edge = (i == 0 && entry != 0) || (i + 1 == layout.table_entries && entry != side_bytes);
    // The second part of a row with two levels begins after three planes of equal size.
    const bool uneven = packed_parts_per_row(kind) == 2 && i % 2 == 1 && (entry - before) % 3 != 0;
    if (edge || uneven || entry < before || entry > side_bytes) {
      throw_field(LPC_FORMAT_ERROR, "row_table[" + std::to_string(i) + "]", 4 * i, std::to_string(entry),
                  "ascending offsets from 0 to the end of the side stream, " + std::to_string(side_bytes));
    }
    before = entry;
  }
  return {&stored[0],
          &stored[layout.fixed_offset],
          &stored[layout.side_offset],
          side_bytes,
          {shape.rows, layout.columns, tables.in_pieces}};
}

}  // namespace packed

namespace {

using packed::kParamsBytes;

constexpr CodecLayout kLayouts[] = {
    {LPC_PACKED_E2P3, "e2+3"}, {LPC_PACKED_HI4P, "hi4p"}, {LPC_PACKED_HI3, "hi3"}, {LPC_PACKED_E3P3, "e3+3"}};

class PackedCodec : public Codec {
 public:
  // The smallest for the tensor.
  PackedCodec() = default;
  explicit PackedCodec(const CodecLayout& layout) : layout_(static_cast<PackedLayout>(layout.id)) {}

  uint32_t id() const override { return LPC_CODEC_PACKED; }
  const char* name() const override { return "packed"; }
  uint64_t assumed_decode_bytes_per_s() const override { return 2'000'000'000; }
  uint32_t dtypes() const override { return dtype_bit(LPC_DTYPE_BF16); }
  std::span<const CodecLayout> layouts() const override { return kLayouts; }
  const Codec& variant(uint32_t layout) const override;

  size_t params_bound(const lpc_tensor_desc& tensor) const override {
    return tensor.dtype == LPC_DTYPE_BF16 ? kParamsBytes : 0;
  }
  std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src) const override {
    if (tensor.dtype != LPC_DTYPE_BF16) return {};
    return packed::choose_params(src, tensor_rows(tensor, DescSource::kCaller).row_bytes / 2,
                                 layout_ ? &*layout_ : nullptr);
  }
  void check_params(const lpc_tensor_desc& tensor, Bytes params) const override {
    if (tensor.dtype != LPC_DTYPE_BF16) return Codec::check_params(tensor, params);
    packed::check_params(params);
  }

  size_t encode_scratch_bytes(const SegmentShape& shape) const override { return packed::encode_scratch_bytes(shape); }
  size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst,
                MutableBytes scratch) const override {
    return packed::encode(shape, params, src, dst, scratch);
  }

  size_t min_stored_bytes(const SegmentShape& shape) const override {
    if (shape.dtype != LPC_DTYPE_BF16) return shape.bytes();
    size_t least = shape.bytes();
    for (const CodecLayout& layout : kLayouts) {
      const packed::Layout kind(static_cast<PackedLayout>(layout.id), shape);
      least = std::min(least, kind.side_offset + kPackedPadding);
    }
    return least;
  }

  size_t decode_scratch_bytes(const SegmentShape&) const override { return 0; }
  void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out, MutableBytes) const override {
    if (shape.dtype != LPC_DTYPE_BF16) {
      throw_field(LPC_FORMAT_ERROR, "encoding", 0, "1", "0, as codec packed keeps all dtypes but bf16 raw");
    }
    const PackedTables tables = packed::read_tables(params);
    const PackedRows rows = packed::open_segment(tables, shape, stored);
    const size_t done = packed_kernels().decode(tables, rows, 0, shape.rows, out.data());
    if (done == shape.rows) return;
    const size_t entry = packed_parts_per_row(tables.layout) * done;
    throw_field(LPC_FORMAT_ERROR, "side stream of row " + std::to_string(done),
                static_cast<size_t>(rows.side - rows.table) + load<uint32_t>(rows.table + 4 * entry),
                "another number of escapes than the codes of the row have", "as many");
  }

 private:
  const std::optional<PackedLayout> layout_;
};

}  // namespace

const Codec& packed_codec() {
  static const PackedCodec codec{};
  return codec;
}

const Codec& PackedCodec::variant(uint32_t layout) const {
  static const PackedCodec codecs[] = {PackedCodec(kLayouts[0]), PackedCodec(kLayouts[1]), PackedCodec(kLayouts[2]),
                                       PackedCodec(kLayouts[3])};
  static_assert(std::size(kLayouts) == 4);
  if (layout == 0) return packed_codec();
  for (size_t i = 0; i < std::size(codecs); ++i) {
    if (layout == kLayouts[i].id) return codecs[i];
  }
  throw_unknown_layout(*this, layout, "smallest");
}

}  // namespace lpc
