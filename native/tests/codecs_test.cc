// Every codec at the level of segments under every instruction set that this machine has: the same stored bytes from
// each, and each decodes them to the source, between guard pages. No threads and no container, so that the program can
// also be built for another architecture and run under an emulator (tests/test_codecs_neon.py).
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "codecs/codec.h"
#include "simd/isa.h"
#include "tests/guarded_buffer.h"
#include "tests/main.h"

namespace lpc {
namespace {

using test::GuardedBuffer;
using Elements = std::vector<uint8_t>;

// Every codec in every layout; `stored` encodes nothing.
std::vector<const Codec*> variants() {
  std::vector<const Codec*> found;
  for (size_t i = 0; i < codec_count(); ++i) {
    const Codec& codec = codec_at(i);
    if (codec.id() == LPC_CODEC_STORED) continue;
    if (codec.layouts().empty()) found.push_back(&codec);
    for (const CodecLayout& layout : codec.layouts()) found.push_back(&codec.variant(layout.id));
  }
  return found;
}

const std::vector<Isa>& isas() {
  static const std::vector<Isa> supported = [] {
    std::vector<Isa> found;
    for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Vbmi2, Isa::kNeon}) {
      if (isa_supported(isa)) found.push_back(isa);
    }
    return found;
  }();
  return supported;
}

// Of the lanes and lengths below every n-th: an emulator is slow. LPC_TEST_STEP; 1 tests all.
size_t step() {
  const char* text = std::getenv("LPC_TEST_STEP");
  return text == nullptr ? 1 : std::max<size_t>(1, std::strtoul(text, nullptr, 10));
}

struct Stored {
  std::vector<uint8_t> params, bytes;
};

Stored encode(const Codec& codec, const SegmentShape& shape, Bytes src) {
  const lpc_tensor_desc tensor{shape.dtype, 2, {shape.rows, shape.row_bytes / dtype_bytes(shape.dtype), 0, 0}};
  Stored stored{codec.make_params(tensor, src), {}};
  stored.bytes.resize(8 * src.size() + 1024 * (shape.rows + 1));  // room for whatever expands
  std::vector<uint8_t> scratch(codec.encode_scratch_bytes(shape));
  stored.bytes.resize(codec.encode(shape, stored.params, src, stored.bytes, scratch));
  return stored;
}

bool decodes_to(const Codec& codec, const SegmentShape& shape, const Stored& stored, const Elements& source) {
  GuardedBuffer in(stored.bytes.size(), GuardedBuffer::At::kEnd), out(source.size(), GuardedBuffer::At::kEnd);
  std::copy(stored.bytes.begin(), stored.bytes.end(), in.data());
  std::vector<uint8_t> scratch(codec.decode_scratch_bytes(shape));
  codec.decode(shape, stored.params, in.span(), out.span(), scratch);
  return std::equal(source.begin(), source.end(), out.data());
}

// Source of `rows` rows under every instruction set and codec.
void check(uint32_t dtype, size_t rows, const Elements& source, const std::string& what) {
  if (source.empty()) return;
  const SegmentShape shape{dtype, rows, source.size() / rows};
  static const std::vector<const Codec*> all = variants();
  for (const Codec* each : all) {
    const Codec& codec = *each;
    if ((codec.dtypes() & dtype_bit(dtype)) == 0) continue;
    use_isa(Isa::kScalar);
    const Stored reference = encode(codec, shape, source);
    for (Isa isa : isas()) {
      use_isa(isa);
      bool same = !reference.bytes.empty();
      if (isa != Isa::kScalar) {
        const Stored stored = encode(codec, shape, source);
        same = stored.params == reference.params && stored.bytes == reference.bytes;
      }
      if (same && decodes_to(codec, shape, reference, source)) continue;
      test::fail(__FILE__, __LINE__,
                 std::string(codec.name()) + " " + isa_name(isa) + ", " + what + ": " +
                     (same ? "decoded or stored bytes are wrong" : "other bytes than scalar"));
    }
  }
}

struct Noise {
  uint64_t state;
  uint64_t operator()() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
};

Elements filled(uint32_t dtype, size_t n, const std::function<uint32_t(size_t)>& bits) {
  const size_t size = dtype_bytes(dtype);
  Elements elements(n * size);
  for (size_t i = 0; i < n; ++i) {
    const uint32_t value = bits(i);
    std::memcpy(&elements[i * size], &value, size);
  }
  return elements;
}

// Bits of the special values of a dtype; the integers have none.
struct Float {
  unsigned exponent, mantissa;
};
Float format_of(uint32_t dtype) {
  switch (dtype) {
    case LPC_DTYPE_BF16: return {8, 7};
    case LPC_DTYPE_FP16: return {5, 10};
    case LPC_DTYPE_FP32: return {8, 23};
    case LPC_DTYPE_FP8_E4M3: return {4, 3};
    case LPC_DTYPE_FP8_E5M2: return {5, 2};
    default: return {0, 7};
  }
}

struct Content {
  const char* name;
  Elements elements;
};

std::vector<Content> contents(uint32_t dtype, size_t n) {
  const auto [exponent, mantissa] = format_of(dtype);
  const uint32_t sign = 1u << (exponent + mantissa), infinity = ((1u << exponent) - 1) << mantissa;
  const uint32_t fraction = (1u << mantissa) - 1;
  Noise noise{n * 2654435761u + dtype};
  const auto some = [&] { return static_cast<uint32_t>(noise() >> 16); };
  return {
      {"zeros", filled(dtype, n, [](size_t) { return 0u; })},
      {"all equal", filled(dtype, n, [&](size_t) { return sign | fraction / 3; })},
      {"alternating", filled(dtype, n, [&](size_t i) { return i % 2 == 0 ? sign | 1u : infinity >> 1; })},
      {"random bits", filled(dtype, n, [&](size_t) { return some(); })},
      {"NaN payloads", filled(dtype, n, [&](size_t) { return infinity | (some() & (sign | fraction)); })},
      {"subnormals", filled(dtype, n, [&](size_t) { return some() & (sign | fraction); })},
      {"few exponents", filled(dtype, n,
                               [&](size_t) {
                                 return (some() & (sign | fraction)) |
                                        (infinity / 2 + (some() & some() & 7) * (fraction + 1));
                               })},
      {"sparse", filled(dtype, n, [&](size_t) { return some() % 3 == 0 ? some() : 0; })},
  };
}

TEST(test_codecs_every_content_and_length_is_the_same_under_every_instruction_set) {
  constexpr size_t kFiveVectors = 5 * 64 + 1;
  for (uint32_t dtype = LPC_DTYPE_BF16; dtype <= LPC_DTYPE_FP8_E5M2; ++dtype) {
    for (size_t n = 1; n <= kFiveVectors; n += step()) {
      for (const Content& content : contents(dtype, n)) {
        check(dtype, 1, content.elements, std::string(content.name) + ", " + std::to_string(n) + " elements");
      }
    }
  }
}

TEST(test_codecs_odd_rows_and_columns_are_the_same_under_every_instruction_set) {
  for (uint32_t dtype = LPC_DTYPE_BF16; dtype <= LPC_DTYPE_FP8_E5M2; ++dtype) {
    for (size_t rows : {1, 3, 7, 33}) {
      for (size_t columns : {1, 5, 63, 65, 129, 511, 513, 1031}) {
        for (const Content& content : contents(dtype, rows * columns)) {
          check(dtype, rows, content.elements, std::string(content.name) + ", " + std::to_string(columns) + " columns");
        }
      }
    }
  }
}

// The patterns in order, after as many zeros as put each of them into each lane of a vector in turn.
void check_patterns(uint32_t dtype, size_t patterns) {
  for (size_t lane = 0; lane < 64; lane += step()) {
    const Elements elements = filled(dtype, patterns + 64, [&](size_t i) {
      return i < lane || i - lane >= patterns ? 0u : static_cast<uint32_t>(i - lane);
    });
    check(dtype, 1, elements, "all patterns of dtype " + std::to_string(dtype) + " from lane " + std::to_string(lane));
  }
}

TEST(test_codecs_every_16_bit_pattern_in_every_lane_is_the_same_under_every_instruction_set) {
  check_patterns(LPC_DTYPE_BF16, 65536);
  check_patterns(LPC_DTYPE_FP16, 65536);
}

TEST(test_codecs_every_8_bit_pattern_in_every_lane_is_the_same_under_every_instruction_set) {
  for (uint32_t dtype : {LPC_DTYPE_INT8, LPC_DTYPE_UINT8, LPC_DTYPE_FP8_E4M3, LPC_DTYPE_FP8_E5M2}) {
    check_patterns(dtype, 256);
  }
}

}  // namespace
}  // namespace lpc
