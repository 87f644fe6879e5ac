#include "codecs/packed/packed_encode.h"

#include <algorithm>
#include <array>
#include <bit>

#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "simd/split/split.h"

namespace lpc::packed {
namespace {

using Codes = std::array<uint8_t, 256>;

// Code of each value; `values` where it has none.
Codes codes_of(Bytes params, size_t offset, size_t values) {
  Codes codes;
  codes.fill(static_cast<uint8_t>(values));
  for (size_t i = values; i-- > 0;) codes[params[offset + i]] = static_cast<uint8_t>(i);
  return codes;
}

// One group: for each stored position its raw byte and what is coded.
struct Group {
  uint8_t raw[kPackedGroup];
  uint8_t coded[kPackedGroup];
};

void permute(const uint8_t* columns, uint8_t* positions) {
  for (size_t c = 0; c < kPackedGroup; c += 8) std::memcpy(positions + packed_position(c), columns + c, 8);
}

// `count` columns; the rest are zero. Exponent layouts rotate each pair of columns left by one bit.
Group split_group(const uint8_t* elements, size_t count, bool rotate) {
  uint32_t pairs[kPackedGroup / 2];
  if (count == kPackedGroup) {
    std::memcpy(pairs, elements, sizeof pairs);
  } else {
    std::memset(pairs, 0, sizeof pairs);
    std::memcpy(pairs, elements, 2 * count);
  }
  if (rotate) {
    for (uint32_t& pair : pairs) pair = std::rotl(pair, 1);
  }
  uint16_t words[kPackedGroup];
  std::memcpy(words, pairs, sizeof words);
  uint8_t low[kPackedGroup], high[kPackedGroup];
  for (size_t c = 0; c < kPackedGroup; ++c) low[c] = static_cast<uint8_t>(words[c]);
  for (size_t c = 0; c < kPackedGroup; ++c) high[c] = static_cast<uint8_t>(words[c] >> 8);
  Group group;
  permute(low, group.raw);
  permute(high, group.coded);
  return group;
}

void or_shifted(uint8_t* vector, const uint8_t* codes, unsigned from_bit, uint8_t mask, unsigned to_bit) {
  for (size_t i = 0; i < kPackedGroup; ++i) {
    vector[i] = static_cast<uint8_t>(vector[i] | (codes[i] >> from_bit & mask) << to_bit);
  }
}

// Codes of group `index` of a block into its code vectors.
void put_codes(PackedLayout layout, uint8_t* vectors, unsigned index, const uint8_t* codes) {
  switch (layout) {
    case PackedLayout::kE2p3: return or_shifted(vectors + index / 4 * 64, codes, 0, 3, 2 * (index % 4));
    case PackedLayout::kHi4p: return or_shifted(vectors, codes, 0, 15, 4 * index);
    case PackedLayout::kE3p3:
    case PackedLayout::kHi3: break;
  }
  if (index < 6) return or_shifted(vectors + index / 2 * 64, codes, 0, 7, 3 * (index % 2));
  for (unsigned bit = 0; bit < 3; ++bit) {
    const unsigned spare = 3 * (index - 6) + bit;
    or_shifted(vectors + spare / 2 * 64, codes, bit, 1, 6 + spare % 2);
  }
}

// A side stream growing into the rest of `dst`.
class Side {
 public:
  explicit Side(MutableBytes dst) : dst_(dst) {}

  bool append(const uint8_t* bytes, size_t n) {
    if (dst_.size() - size_ < n + kPackedPadding) return false;
    std::memcpy(dst_.data() + size_, bytes, n);
    size_ += n;
    return true;
  }
  size_t size() const { return size_; }
  void pad() { std::memset(dst_.data() + size_, 0, kPackedPadding); }

 private:
  MutableBytes dst_;
  size_t size_ = 0;
};

class RowEncoder {
 public:
  RowEncoder(Bytes params, const PackedOrder& order, MutableBytes scratch)
      : layout_(static_cast<PackedLayout>(params[0])),
        order_(order),
        columns_(order.columns),
        values_(level1_values(layout_)),
        codes_(codes_of(params, kLevel1Offset, values_)),
        codes2_(codes_of(params, kLevel2Offset, level2_values(layout_))),
        escapes_(scratch.data()) {}

  // Writes the fixed part of a row to its place in `fixed`; what escapes is kept for append_side.
  void write_fixed(const uint8_t* elements, size_t row, uint8_t* fixed) {
    escape_count_ = 0;
    const size_t per_block = packed_groups_per_block(layout_);
    for (size_t c = 0; c < columns_;) {
      const size_t groups = std::min(per_block, packed_groups(columns_ - c));
      const size_t vectors = packed_code_vectors(layout_, groups);
      uint8_t* const to = fixed + order_.offset(layout_, row, c);
      std::memset(to, 0, 64 * vectors);
      for (size_t g = 0; g < groups; ++g, c += kPackedGroup) {
        write_group(elements + 2 * c, c, std::min(columns_ - c, kPackedGroup), g, to, to + 64 * (vectors + g));
      }
    }
  }

  // Returns whether it fitted; the row's entries of the row table go to `table`.
  bool append_side(Side& side, uint8_t* table) {
    store(table, static_cast<uint32_t>(side.size()));
    if (packed_parts_per_row(layout_) == 1) return side.append(escapes_, escape_count_);
    uint8_t* const rest = escapes_ + 2 * columns_;
    size_t rest_count = 0;
    for (size_t i = 0; i < escape_count_; i += 64) {
      const size_t n = std::min<size_t>(64, escape_count_ - i);
      uint8_t codes[64] = {};
      for (size_t k = 0; k < n; ++k) {
        const uint8_t value = escapes_[i + k];
        codes[k] = codes2_[value];
        rest[rest_count] = value;  // kept only if it has no code
        rest_count += codes[k] == level2_values(layout_);
      }
      uint64_t planes[kPlanes] = {};
      uint8_t* plane_bytes[kPlanes];
      for (size_t p = 0; p < kPlanes; ++p) plane_bytes[p] = reinterpret_cast<uint8_t*>(&planes[p]);
      split_kernels().to_planes(codes, 64, plane_bytes);
      for (size_t p = 0; p < 3; ++p) {
        if (!side.append(plane_bytes[p], ceil_div(n, 8))) return false;
      }
    }
    store(table + 4, static_cast<uint32_t>(side.size()));
    return side.append(rest, rest_count);
  }

 private:
  void write_group(const uint8_t* elements, size_t first_column, size_t count, size_t index, uint8_t* vectors,
                   uint8_t* raw) {
    const Group group = split_group(elements, count, !packed_codes_high_bytes(layout_));
    std::memcpy(raw, group.raw, sizeof group.raw);
    uint8_t codes[kPackedGroup];
    for (size_t i = 0; i < kPackedGroup; ++i) codes[i] = codes_[group.coded[i]];
    if (count < kPackedGroup) {
      for (size_t c = count; c < kPackedGroup; ++c) codes[packed_position(c)] = 0;  // padding has no escapes
    }
    if (layout_ == PackedLayout::kHi4p) {
      list_columns(group, first_column, codes);
    } else {
      append_escapes(group, codes);
    }
    put_codes(layout_, vectors, static_cast<unsigned>(index), codes);
  }

  // Exponents whose code is the last one, which has all its bits set.
  void append_escapes(const Group& group, const uint8_t* codes) {
    uint8_t* to = escapes_ + escape_count_;
    const auto escape = static_cast<uint8_t>(values_);
    for (size_t i = 0; i < kPackedGroup; ++i) {
      *to = group.coded[i];  // kept only if it is one
      to += codes[i] == escape;
    }
    escape_count_ = static_cast<size_t>(to - escapes_);
  }

  // Columns without a code go to the list, in their order.
  void list_columns(const Group& group, size_t first_column, uint8_t* codes) {
    uint8_t most = 0;
    for (size_t i = 0; i < kPackedGroup; ++i) most = std::max(most, codes[i]);
    if (most < values_) return;
    for (size_t c = 0; c < kPackedGroup; ++c) {
      uint8_t& code = codes[packed_position(c)];
      if (code < values_) continue;
      code = 0;
      store(escapes_ + escape_count_, static_cast<uint32_t>((first_column + c) << 8 | group.coded[packed_position(c)]));
      escape_count_ += 4;
    }
  }

  PackedLayout layout_;
  PackedOrder order_;
  size_t columns_;
  size_t values_;
  Codes codes_;
  Codes codes2_;
  uint8_t* escapes_;  // of this row
  size_t escape_count_ = 0;
};

}  // namespace

// Four bytes a column: a list entry, or an escape of each level with as much to spare.
size_t encode_scratch_bytes(const SegmentShape& shape) { return 2 * shape.row_bytes; }

size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch) {
  if (shape.dtype != LPC_DTYPE_BF16) return 0;
  const auto kind = static_cast<PackedLayout>(params[0]);
  const Layout layout(kind, shape);
  if (dst.size() < layout.side_offset + kPackedPadding) return 0;
  if (kind == PackedLayout::kHi4p && layout.columns > kMaxHi4pColumns) return 0;
  std::memset(dst.data(), 0, layout.fixed_offset);
  RowEncoder encoder(params, {shape.rows, layout.columns, params[kOrderOffset] != 0}, scratch);
  Side side(dst.subspan(layout.side_offset));
  for (size_t row = 0; row < shape.rows; ++row) {
    encoder.write_fixed(&src[row * shape.row_bytes], row, &dst[layout.fixed_offset]);
    if (!encoder.append_side(side, &dst[4 * row * packed_parts_per_row(kind)])) return 0;
  }
  store(&dst[4 * (layout.table_entries - 1)], static_cast<uint32_t>(side.size()));
  side.pad();
  return layout.side_offset + side.size() + kPackedPadding;
}

}  // namespace lpc::packed
