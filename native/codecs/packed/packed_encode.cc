#include "codecs/packed/packed_encode.h"

#include <algorithm>
#include <array>
#include <bit>

#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"

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

// `count` columns; the rest are zero. Exponent layouts rotate each pair of columns left by one bit.
Group split_group(const uint8_t* elements, size_t count, bool rotate) {
  uint32_t pairs[kPackedGroup / 2] = {};
  std::memcpy(pairs, elements, 2 * count);
  if (rotate) {
    for (uint32_t& pair : pairs) pair = std::rotl(pair, 1);
  }
  Group group;
  for (size_t c = 0; c < kPackedGroup; ++c) {
    const uint32_t element = pairs[c / 2] >> (c % 2 * 16);
    group.raw[stored_position(c)] = static_cast<uint8_t>(element);
    group.coded[stored_position(c)] = static_cast<uint8_t>(element >> 8);
  }
  return group;
}

// The columns of the stored positions, in order.
constexpr std::array<uint8_t, kPackedGroup> column_of_position() {
  std::array<uint8_t, kPackedGroup> columns{};
  for (size_t c = 0; c < kPackedGroup; ++c) columns[stored_position(c)] = static_cast<uint8_t>(c);
  return columns;
}
constexpr auto kColumnOf = column_of_position();

void put_code(PackedLayout layout, uint8_t* vectors, size_t index, size_t position, uint8_t code) {
  const auto put = [&](size_t vector, unsigned shift, uint8_t bits) {
    vectors[vector * 64 + position] |= static_cast<uint8_t>(bits << shift);
  };
  switch (layout) {
    case PackedLayout::kE2p3: return put(index / 4, 2 * (index % 4), code);
    case PackedLayout::kHi4p: return put(0, 4 * index, code);
    case PackedLayout::kE3: break;
  }
  if (index < 6) return put(index / 2, 3 * (index % 2), code);
  for (unsigned bit = 0; bit < 3; ++bit) {
    const size_t spare = 3 * (index - 6) + bit;
    put(spare / 2, 6 + spare % 2, code >> bit & 1);
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
  RowEncoder(Bytes params, size_t columns, MutableBytes scratch)
      : layout_(static_cast<PackedLayout>(params[0])),
        columns_(columns),
        values_(level1_values(layout_)),
        codes_(codes_of(params, kLevel1Offset, values_)),
        codes2_(codes_of(params, kLevel2Offset, level2_values(layout_))),
        escapes_(scratch.data()) {}

  // Writes the fixed part of a row; what escapes is kept for append_side.
  void write_fixed(const uint8_t* elements, uint8_t* to) {
    escape_count_ = 0;
    const size_t per_block = packed_groups_per_block(layout_);
    for (size_t c = 0; c < columns_;) {
      const size_t groups = std::min(per_block, packed_groups(columns_ - c));
      const size_t vectors = packed_code_vectors(layout_, groups);
      std::memset(to, 0, 64 * vectors);
      for (size_t g = 0; g < groups; ++g, c += kPackedGroup) {
        write_group(elements + 2 * c, c, std::min(columns_ - c, kPackedGroup), g, to, to + 64 * (vectors + g));
      }
      to += 64 * (vectors + groups);
    }
  }

  // Returns whether it fitted; the row's entries of the row table go to `table`.
  bool append_side(Side& side, uint8_t* table) {
    store(table, static_cast<uint32_t>(side.size()));
    if (layout_ != PackedLayout::kE2p3) return side.append(escapes_, escape_count_);
    uint8_t* const rest = escapes_ + 2 * columns_;
    size_t rest_count = 0;
    for (size_t i = 0; i < escape_count_; i += 64) {
      uint64_t planes[3] = {};
      const size_t n = std::min<size_t>(64, escape_count_ - i);
      for (size_t k = 0; k < n; ++k) {
        const uint64_t code = codes2_[escapes_[i + k]];
        for (unsigned p = 0; p < 3; ++p) planes[p] |= (code >> p & 1) << k;
        if (code == level2_values(layout_)) rest[rest_count++] = escapes_[i + k];
      }
      for (uint64_t plane : planes) {
        if (!side.append(reinterpret_cast<const uint8_t*>(&plane), ceil_div(n, 8))) return false;
      }
    }
    store(table + 4, static_cast<uint32_t>(side.size()));
    return side.append(rest, rest_count);
  }

 private:
  void write_group(const uint8_t* elements, size_t first_column, size_t count, size_t index, uint8_t* vectors,
                   uint8_t* raw) {
    const bool exponents = layout_ != PackedLayout::kHi4p;
    const Group group = split_group(elements, count, exponents);
    std::memcpy(raw, group.raw, sizeof group.raw);
    for (size_t i = 0; i < kPackedGroup; ++i) {
      const size_t position = exponents ? i : stored_position(i);  // lists are in the order of columns
      const size_t column = exponents ? kColumnOf[i] : i;
      if (column >= count) continue;
      const uint8_t value = group.coded[position];
      const uint8_t code = codes_[value];
      if (code == values_) escape(first_column + column, value);
      if (code < values_ || exponents) put_code(layout_, vectors, index, position, code);
    }
  }

  void escape(size_t column, uint8_t value) {
    if (layout_ != PackedLayout::kHi4p) {
      escapes_[escape_count_++] = value;
    } else {
      store(escapes_ + escape_count_, static_cast<uint32_t>(column << 8 | value));
      escape_count_ += 4;
    }
  }

  PackedLayout layout_;
  size_t columns_;
  size_t values_;
  Codes codes_;
  Codes codes2_;
  uint8_t* escapes_;  // of this row
  size_t escape_count_ = 0;
};

}  // namespace

size_t encode_scratch_bytes(const SegmentShape& shape) { return 2 * shape.row_bytes; }

size_t encode(const SegmentShape& shape, Bytes params, Bytes src, MutableBytes dst, MutableBytes scratch) {
  if (shape.dtype != LPC_DTYPE_BF16) return 0;
  const auto kind = static_cast<PackedLayout>(params[0]);
  const Layout layout(kind, shape);
  if (dst.size() < layout.side_offset + kPackedPadding) return 0;
  if (kind == PackedLayout::kHi4p && layout.columns > kMaxHi4pColumns) return 0;
  std::memset(dst.data(), 0, layout.fixed_offset);
  RowEncoder encoder(params, layout.columns, scratch);
  Side side(dst.subspan(layout.side_offset));
  for (size_t row = 0; row < shape.rows; ++row) {
    encoder.write_fixed(&src[row * shape.row_bytes], &dst[layout.fixed_offset + row * layout.row_bytes]);
    if (!encoder.append_side(side, &dst[4 * row * packed_parts_per_row(kind)])) return 0;
  }
  store(&dst[4 * (layout.table_entries - 1)], static_cast<uint32_t>(side.size()));
  side.pad();
  return layout.side_offset + side.size() + kPackedPadding;
}

}  // namespace lpc::packed
