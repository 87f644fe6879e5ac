// `bitmap`: where the non-zeros are, and the non-zeros by another codec (docs/format.md, 4.4).
#include "codecs/bitmap/bitmap_codec.h"

#include <algorithm>
#include <bit>

#include "codecs/bitmap/bitmap_encode.h"
#include "codecs/bitmap/segment_layout.h"
#include "codecs/codec.h"
#include "simd/bitmap/bitmap.h"
#include "simd/split/split.h"

namespace lpc {
namespace {

using bitmap::kParamsBytes;
using bitmap::Layout;

[[noreturn]] void fail(const std::string& name, size_t offset, uint64_t got, const std::string& expected) {
  throw_field(LPC_FORMAT_ERROR, name, offset, std::to_string(got), expected);
}

size_t count_bits(const uint8_t* bits, size_t columns) {
  size_t count = split_kernels().count_ones(bits, columns / 8);
  if (columns % 8 != 0) count += static_cast<size_t>(std::popcount(bits[columns / 8] & ((1u << columns % 8) - 1)));
  return count;
}

// Checks that the row table tells what the bitmap does. Returns the number of non-zeros.
uint64_t check_rows(const SegmentShape& shape, const Layout& layout, Bytes stored) {
  if (stored.size() < layout.inner_offset) {
    fail("segment size", 0, stored.size(), "at least " + std::to_string(layout.inner_offset));
  }
  if (stored[bitmap::kInnerEncodingOffset] > 1) {
    fail("inner_encoding", bitmap::kInnerEncodingOffset, stored[bitmap::kInnerEncodingOffset], "at most 1");
  }
  for (size_t i = bitmap::kReservedOffset; i < bitmap::kRowTableOffset; ++i) {
    if (stored[i] != 0) fail("reserved", i, stored[i], "0");
  }
  uint64_t count = 0;
  for (size_t r = 0; r < shape.rows; ++r) {
    count += count_bits(&stored[layout.bitmap_offset + r * layout.row_bitmap_bytes], layout.columns);
    const size_t offset = bitmap::kRowTableOffset + 4 * r;
    const uint32_t stated = load<uint32_t>(&stored[offset]);
    if (stated != count) fail("row_table[" + std::to_string(r) + "]", offset, stated, std::to_string(count));
  }
  const uint32_t stated = load<uint32_t>(&stored[bitmap::kNonZerosOffset]);
  if (stated != count) fail("non_zeros", bitmap::kNonZerosOffset, stated, std::to_string(count));
  return count;
}

// The non-zeros of a segment: where they are stored, or decoded to the start of `scratch`.
Bytes open_values(const SegmentShape& inner_of, const Codec& inner, Bytes inner_params, bool coded, size_t offset,
                  Bytes stored, MutableBytes scratch) {
  const Bytes bytes = stored.subspan(offset);
  const uint64_t decoded = inner_of.bytes();
  if (!coded) {
    if (bytes.size() != decoded) fail("non-zeros", offset, bytes.size(), std::to_string(decoded) + " bytes");
    return bytes;
  }
  if (decoded == 0 || inner.id() == LPC_CODEC_STORED) fail("inner_encoding", bitmap::kInnerEncodingOffset, 1, "0");
  const uint64_t least = inner.min_stored_bytes(inner_of);
  if (bytes.size() < least) fail("non-zeros", offset, bytes.size(), "at least " + std::to_string(least) + " bytes");
  try {
    inner.decode(inner_of, inner_params, bytes, scratch.first(decoded), scratch.subspan(decoded));
  } catch (const Error& error) {
    throw Error(error.status(), "non-zeros (offset " + std::to_string(offset) + "): " + error.what());
  }
  return scratch.first(decoded);
}

constexpr CodecLayout kLayouts[] = {{LPC_BITMAP_STORED, "stored"}, {LPC_BITMAP_ANS, "ans"}};

class BitmapCodec final : public Codec {
 public:
  explicit BitmapCodec(lpc_codec inner) : inner_(inner) {}

  uint32_t id() const override { return LPC_CODEC_BITMAP; }
  const char* name() const override { return "bitmap"; }
  uint64_t assumed_decode_bytes_per_s() const override { return 1'000'000'000; }
  bool is_sparse() const override { return true; }
  std::span<const CodecLayout> layouts() const override { return kLayouts; }
  const Codec& variant(uint32_t layout) const override;

  size_t params_bound(const lpc_tensor_desc& tensor) const override {
    return kParamsBytes + get_codec(LPC_CODEC_ANS).params_bound(tensor);
  }
  std::vector<uint8_t> make_params(const lpc_tensor_desc& tensor, Bytes src) const override {
    return bitmap::make_params(tensor, src, inner_);
  }
  bool params_from_sample() const override { return false; }
  void check_params(const lpc_tensor_desc& tensor, Bytes params) const override {
    if (params.size() < kParamsBytes) {
      throw_malformed(field::kCodecParamsBytes, params.size(), "at least " + std::to_string(kParamsBytes));
    }
    const uint8_t inner = params[bitmap::kInnerCodecOffset];
    if (inner != LPC_CODEC_STORED && inner != LPC_CODEC_ANS) {
      fail("codec_params.inner_codec", bitmap::kInnerCodecOffset, inner, "0 (stored) or 2 (ans)");
    }
    for (size_t i = bitmap::kInnerCodecOffset + 1; i < kParamsBytes; ++i) {
      if (params[i] != 0) fail("codec_params.reserved", i, params[i], "0");
    }
    get_codec(inner).check_params(tensor, params.subspan(kParamsBytes));
  }

  size_t encode_scratch_bytes(const SegmentShape& shape) const override {
    return bitmap::encode_scratch_bytes(shape, get_codec(LPC_CODEC_ANS));
  }
  size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst,
                MutableBytes scratch) const override {
    return bitmap::encode(shape, params, src, dst, scratch);
  }

  size_t min_stored_bytes(const SegmentShape& shape) const override { return Layout(shape).inner_offset; }

  size_t decode_scratch_bytes(const SegmentShape& shape) const override {
    return shape.bytes() + get_codec(LPC_CODEC_ANS).decode_scratch_bytes(shape);
  }
  void decode(const SegmentShape& shape, Bytes params, Bytes stored, MutableBytes out,
              MutableBytes scratch) const override {
    const Layout layout(shape);
    const uint64_t non_zeros = check_rows(shape, layout, stored);
    const Codec& inner = get_codec(params[bitmap::kInnerCodecOffset]);
    const Bytes values = open_values(bitmap::inner_shape(shape, non_zeros), inner, params.subspan(kParamsBytes),
                                     stored[bitmap::kInnerEncodingOffset] == 1, layout.inner_offset, stored, scratch);
    const auto expand = bitmap_kernels().expand[layout.element_bytes];
    const uint8_t* next = values.data();
    const uint8_t* const end = next + values.size();
    for (size_t r = 0; r < shape.rows; ++r) {
      const uint8_t* bits = &stored[layout.bitmap_offset + r * layout.row_bitmap_bytes];
      next += layout.element_bytes * expand(bits, layout.columns, next, end, out.data() + r * shape.row_bytes);
    }
  }

 private:
  const lpc_codec inner_;
};

}  // namespace

void bitmap::check_plain_segment(const SegmentShape& shape, Bytes stored) {
  const Layout layout(shape);
  const uint64_t non_zeros = check_rows(shape, layout, stored);
  const Codec& plain = get_codec(LPC_CODEC_STORED);
  open_values(inner_shape(shape, non_zeros), plain, {}, stored[kInnerEncodingOffset] == 1, layout.inner_offset, stored,
              {});
}

const Codec& bitmap_codec() {
  static const BitmapCodec codec(LPC_CODEC_ANS);
  return codec;
}

const Codec& BitmapCodec::variant(uint32_t layout) const {
  static const BitmapCodec plain(LPC_CODEC_STORED);
  if (layout == 0 || layout == LPC_BITMAP_ANS) return bitmap_codec();
  if (layout == LPC_BITMAP_STORED) return plain;
  throw_unknown_layout(*this, layout, "ans");
}

}  // namespace lpc
