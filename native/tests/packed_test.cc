// Codec `packed` at the level of segments, and its products: no lz4, no threads, so that it can also be built for
// another architecture and run under an emulator (tests/test_packed_neon.py).
#include <cmath>
#include <cstring>
#include <vector>

#include "codecs/packed/packed_codec.h"
#include "codecs/packed/params.h"
#include "codecs/packed/segment_layout.h"
#include "simd/dot/dot.h"
#include "tests/guarded_buffer.h"
#include "tests/main.h"

namespace {

using lpc::Bytes;
using lpc::MutableBytes;
using lpc::PackedLayout;
using lpc::test::GuardedBuffer;

constexpr PackedLayout kLayouts[] = {PackedLayout::kE2p3, PackedLayout::kE3p3, PackedLayout::kHi4p, PackedLayout::kHi3};
constexpr size_t kColumns[] = {1, 31, 64, 65, 127, 128, 129, 320, 449, 511, 512, 513, 1025, 4100, 6145, 8192, 9001};

// Sums of four uniform numbers, scaled; one element in `one_in` has any bits (but is finite).
std::vector<uint16_t> weights(size_t n, uint64_t one_in = 256) {
  uint64_t state = 88172645463325252u + n;
  const auto random = [&] {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  };
  std::vector<uint16_t> values(n);
  for (uint16_t& value : values) {
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(random() >> 40) * 0x1p-24f - 0.5f;
    sum *= 0.03f;
    uint32_t bits;
    std::memcpy(&bits, &sum, 4);
    value = static_cast<uint16_t>(random() % one_in == 0 ? random() & 0xBFFF : bits >> 16);
  }
  return values;
}

struct Segment {
  std::vector<uint8_t> params;
  std::vector<uint8_t> stored;
  lpc::SegmentShape shape;
};

Segment encode(const std::vector<uint16_t>& values, size_t columns, PackedLayout layout) {
  const lpc::Codec& codec = lpc::packed_codec().variant(static_cast<uint32_t>(layout));
  const Bytes src{reinterpret_cast<const uint8_t*>(values.data()), values.size() * 2};
  Segment segment;
  segment.shape = {LPC_DTYPE_BF16, values.size() / columns, columns * 2};
  const lpc_tensor_desc tensor{LPC_DTYPE_BF16, 2, {segment.shape.rows, columns, 0, 0}};
  segment.params = codec.make_params(tensor, src);
  segment.stored.resize(4 * src.size() + 1024 * (segment.shape.rows + 1));
  std::vector<uint8_t> scratch(codec.encode_scratch_bytes(segment.shape));
  segment.stored.resize(codec.encode(segment.shape, segment.params, src, segment.stored, scratch));
  return segment;
}

// All layouts and row lengths, with few escapes, with up to about 32 in a group of 64, and with nothing but escapes.
template <typename Check>
void for_each_segment(size_t rows, const Check& check) {
  for (PackedLayout layout : kLayouts) {
    for (size_t columns : kColumns) {
      for (uint64_t one_in : {256, 3, 2, 1}) {
        const std::vector<uint16_t> values = weights(rows * columns, one_in);
        const Segment segment = encode(values, columns, layout);
        CHECK(!segment.stored.empty());
        check(layout, columns, values, segment);
      }
    }
  }
}

TEST(test_packed_segment_of_any_row_length_decodes_exactly_and_within_its_bytes) {
  for_each_segment(35, [](PackedLayout, size_t, const std::vector<uint16_t>& values, const Segment& segment) {
    GuardedBuffer stored(segment.stored.size(), GuardedBuffer::At::kEnd);
    GuardedBuffer out(values.size() * 2, GuardedBuffer::At::kEnd);
    std::memcpy(stored.data(), segment.stored.data(), segment.stored.size());
    lpc::packed_codec().decode(segment.shape, segment.params, stored.span(), out.span(), {});
    CHECK(std::memcmp(out.data(), values.data(), out.size()) == 0);
  });
}

TEST(test_packed_product_has_the_bits_of_the_decoded_product) {
  constexpr size_t kRows = 69;
  for_each_segment(kRows,
                   [](PackedLayout, size_t columns, const std::vector<uint16_t>& values, const Segment& segment) {
                     std::vector<float> x(columns), arranged(columns + 64), packed(kRows), decoded(kRows);
                     for (size_t i = 0; i < columns; ++i) x[i] = std::sin(static_cast<float>(i));
                     lpc::dot_kernels().arrange(x.data(), columns, arranged.data());
                     GuardedBuffer stored(segment.stored.size(), GuardedBuffer::At::kEnd);
                     std::memcpy(stored.data(), segment.stored.data(), segment.stored.size());
                     const lpc::PackedTables tables = lpc::packed::read_tables(segment.params);
                     const lpc::PackedRows view = lpc::packed::open_segment(tables, segment.shape, stored.span());
                     const lpc::PackedRun first{view, 0, 3}, rest{view, 3, kRows};
                     lpc::packed_kernels().dot(tables, first, {4096, &rest}, arranged.data(), packed.data());
                     lpc::packed_kernels().dot(tables, rest, {4096, nullptr}, arranged.data(), packed.data());
                     lpc::dot_kernels().rows_bf16(values.data(), columns, 0, kRows, arranged.data(), decoded.data());
                     CHECK(std::memcmp(packed.data(), decoded.data(), kRows * sizeof(float)) == 0);
                   });
}

TEST(test_packed_segment_with_changed_codes_is_rejected_or_decoded_within_its_bytes) {
  for (PackedLayout layout : kLayouts) {
    const std::vector<uint16_t> values = weights(3 * 700);
    const Segment segment = encode(values, 700, layout);
    GuardedBuffer stored(segment.stored.size(), GuardedBuffer::At::kEnd);
    GuardedBuffer out(values.size() * 2, GuardedBuffer::At::kEnd);
    for (size_t at = 0; at < segment.stored.size(); at += 3) {
      std::memcpy(stored.data(), segment.stored.data(), segment.stored.size());
      stored.data()[at] = 0xFF;
      try {
        lpc::packed_codec().decode(segment.shape, segment.params, stored.span(), out.span(), {});
      } catch (const lpc::Error& error) {
        CHECK(error.status() == LPC_FORMAT_ERROR);
      }
    }
  }
}

}  // namespace
