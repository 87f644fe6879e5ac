// Products straight from codec `bitmap`: no lz4, no threads, so that it can also be built for another architecture and
// run under an emulator (tests/test_codecs_neon.py).
#include <cmath>
#include <cstring>
#include <vector>

#include "codecs/bitmap/bitmap_codec.h"
#include "codecs/bitmap/segment_layout.h"
#include "simd/bitmap/dot_bitmap.h"
#include "simd/dot/dot.h"
#include "tests/guarded_buffer.h"
#include "tests/main.h"

namespace {

using lpc::Bytes;
using lpc::test::GuardedBuffer;

constexpr size_t kRows = 9;  // four together, four more, and one whose values end where the segment does
constexpr size_t kColumns[] = {1, 31, 63, 64, 65, 127, 128, 129, 320, 449, 1025, 4100};
constexpr unsigned kKeptOf16[] = {0, 1, 8, 15, 16};

// Finite numbers of any size, zero but for `kept` of 16 of them.
std::vector<uint16_t> weights(size_t n, unsigned kept) {
  uint64_t state = 88172645463325252u + n;
  std::vector<uint16_t> values(n);
  for (uint16_t& value : values) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    value = (state >> 8 & 15) < kept ? static_cast<uint16_t>(state >> 32 & 0xBFFF) : 0;
  }
  return values;
}

std::vector<uint8_t> encode(const lpc::SegmentShape& shape, const std::vector<uint16_t>& values) {
  const lpc::Codec& codec = lpc::bitmap_codec().variant(LPC_BITMAP_STORED);
  const Bytes src{reinterpret_cast<const uint8_t*>(values.data()), values.size() * 2};
  const std::vector<uint8_t> params = codec.make_params({shape.dtype, 2, {shape.rows, shape.row_bytes / 2, 0, 0}}, src);
  std::vector<uint8_t> stored(2 * src.size() + 4096), scratch(codec.encode_scratch_bytes(shape));
  stored.resize(codec.encode(shape, params, src, stored, scratch));
  return stored;
}

TEST(test_bitmap_product_has_the_bits_of_the_decoded_product_and_reads_within_its_bytes) {
  for (unsigned kept : kKeptOf16) {
    for (size_t columns : kColumns) {
      const std::vector<uint16_t> values = weights(kRows * columns, kept);
      const lpc::SegmentShape shape{LPC_DTYPE_BF16, kRows, columns * 2};
      const std::vector<uint8_t> segment = encode(shape, values);
      CHECK(!segment.empty());
      GuardedBuffer stored(segment.size(), GuardedBuffer::At::kEnd);
      std::memcpy(stored.data(), segment.data(), segment.size());
      lpc::bitmap::check_plain_segment(shape, stored.span());
      const lpc::bitmap::Layout layout(shape);
      const lpc::BitmapRows rows{stored.data() + layout.bitmap_offset,
                                 stored.data() + lpc::bitmap::kRowTableOffset,
                                 stored.data() + layout.inner_offset,
                                 stored.data() + stored.size(),
                                 layout.columns,
                                 layout.row_bitmap_bytes};
      std::vector<float> x(columns), arranged(columns + 64), direct(kRows), decoded(kRows);
      for (size_t i = 0; i < columns; ++i) x[i] = std::sin(static_cast<float>(i));
      lpc::dot_kernels().arrange(x.data(), columns, arranged.data());
      lpc::bitmap_dot_kernels().dot(rows, 0, kRows, arranged.data(), direct.data());
      lpc::dot_kernels().rows_bf16(values.data(), columns, 0, kRows, arranged.data(), decoded.data());
      CHECK(std::memcmp(direct.data(), decoded.data(), kRows * sizeof(float)) == 0);
    }
  }
}

TEST(test_bitmap_segment_that_is_coded_or_of_another_size_is_no_plain_one) {
  const lpc::SegmentShape shape{LPC_DTYPE_BF16, kRows, 640};
  const std::vector<uint8_t> segment = encode(shape, weights(kRows * 320, 8));
  const auto refused = [&](const std::vector<uint8_t>& bytes) {
    try {
      lpc::bitmap::check_plain_segment(shape, bytes);
    } catch (const lpc::Error& error) {
      return error.status() == LPC_FORMAT_ERROR;
    }
    return false;
  };
  CHECK(!refused(segment));
  for (size_t at : {lpc::bitmap::kNonZerosOffset, lpc::bitmap::kInnerEncodingOffset, lpc::bitmap::kRowTableOffset,
                    lpc::bitmap::Layout(shape).bitmap_offset}) {
    std::vector<uint8_t> changed = segment;
    changed[at] ^= 1;
    CHECK(refused(changed));
  }
  CHECK(refused(std::vector<uint8_t>(segment.begin(), segment.end() - 2)));
  CHECK(refused({}));
}

}  // namespace
