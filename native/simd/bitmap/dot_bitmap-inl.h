// The kernel of simd/bitmap/dot_bitmap.h, written once: the zeros come back in registers, in the order of
// accumulate-inl.h.
//
// The including file defines LPC_SIMD_NAMESPACE and LPC_VECTOR_BYTES, includes simd/dot/accumulate-inl.h, and defines
// in the namespace
//   WordVector expand(uint64_t bits, const uint8_t* values)
// which places the values at the lowest kHalves bits that are set, and zeros at the others; it may read a whole vector.
//
// No templates of the standard library here: the linker could keep a copy that was compiled for this instruction set
// and use it everywhere.

#include "simd/bitmap/dot_bitmap.h"

namespace lpc {
namespace LPC_SIMD_NAMESPACE {

inline constexpr size_t kSlack = 2 * kGroup;  // bytes from the first value of a group, beyond which none is read

inline uint64_t low_bits(size_t count) { return count < 64 ? (uint64_t{1} << count) - 1 : ~uint64_t{0}; }

inline size_t ones(uint64_t bits) { return static_cast<size_t>(__builtin_popcountll(bits)); }

inline __attribute__((always_inline)) void add_group(Dot& dot, uint64_t bits, const uint8_t* values, const float* x) {
  for (size_t part = 0; part < kParts; ++part) {
    const size_t low = part * kHalves, high = kGroup / 2 + part * kHalves;
    const uint8_t* const low_values = values + 2 * ones(bits & low_bits(low));
    const uint8_t* const high_values = values + 2 * ones(bits & low_bits(high));
    dot.add(part, expand(bits >> low, low_values), expand(bits >> high, high_values), x + part * 4 * kFloats);
  }
}

struct Row {
  const uint8_t* bits;
  const uint8_t* values;

  Row(const BitmapRows& rows, size_t r) : bits(rows.bitmap + r * rows.row_bitmap_bytes), values(rows.values) {
    uint32_t before = 0;
    if (r > 0) std::memcpy(&before, rows.row_table + 4 * (r - 1), 4);
    values += size_t{2} * before;
  }
};

// Columns [c, columns): those after the last whole group, or all where the values' end is near.
__attribute__((noinline)) void add_carefully(Dot& result, Row row, const BitmapRows& rows, size_t c, const float* x) {
  Dot dot = result;
  for (; c < rows.columns; c += kGroup) {
    const size_t columns = rows.columns - c < kGroup ? rows.columns - c : kGroup;
    uint64_t bits = 0;
    std::memcpy(&bits, row.bits + c / 8, (columns + 7) / 8);
    bits &= low_bits(columns);
    uint8_t values[kSlack] = {};
    std::memcpy(values, row.values, 2 * ones(bits));
    add_group(dot, bits, values, x + c);
    row.values += 2 * ones(bits);
  }
  result = dot;
}

// kRows rows at a time share the activations.
template <size_t kRows>
inline void some_rows(const BitmapRows& rows, size_t first, bool carefully, const float* x, float* y) {
  Dot dots[kRows] = {};
  const Row begin(rows, first);
  const uint8_t* bits = begin.bits;
  const uint8_t* values[kRows];
  for (size_t r = 0; r < kRows; ++r) values[r] = Row(rows, first + r).values;
  const ptrdiff_t far = Row(rows, first + kRows).values - values[0];  // about the same columns of the next rows
  size_t c = 0;
  for (; !carefully && c + kGroup <= rows.columns; c += kGroup, bits += kGroup / 8) {
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      uint64_t group;
      std::memcpy(&group, bits + r * rows.row_bitmap_bytes, 8);
      prefetch_far(values[r] + far);
      add_group(dots[r], group, values[r], x + c);
      values[r] += 2 * ones(group);
    }
  }
  for (size_t r = 0; r < kRows; ++r) {
    Row row(rows, first + r);
    row.values = values[r];
    if (c < rows.columns) add_carefully(dots[r], row, rows, c, x);
    y[r] = dots[r].sum();
  }
}

// Whether the last groups of a row would be read beyond the values.
inline bool ends_near(const BitmapRows& rows, size_t r) {
  uint32_t until;
  std::memcpy(&until, rows.row_table + 4 * r, 4);
  return rows.values + size_t{2} * until + kSlack > rows.values_end;
}

void dot(const BitmapRows& rows, size_t begin, size_t end, const float* x, float* y) {
  constexpr size_t kTogether = 4;
  size_t r = begin;
  for (; r + kTogether <= end && !ends_near(rows, r + kTogether - 1); r += kTogether) {
    some_rows<kTogether>(rows, r, false, x, y + r);
  }
  for (; r < end; ++r) some_rows<1>(rows, r, ends_near(rows, r), x, y + r);
}

extern const BitmapDotKernels kernels;
const BitmapDotKernels kernels = {dot};

}  // namespace LPC_SIMD_NAMESPACE
}  // namespace lpc
