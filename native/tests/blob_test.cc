// Container and codecs below the C API: piecewise reading, guard pages, alignment, errors.
#include "codecs/blob.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "codecs/decode.h"
#include "codecs/encode.h"
#include "codecs/layout.h"
#include "codecs/tensor.h"
#include "tests/guarded_buffer.h"
#include "tests/main.h"

namespace lpc {
namespace {

using test::GuardedBuffer;

constexpr uint32_t kCodecs[] = {LPC_CODEC_STORED, LPC_CODEC_LZ4};

lpc_encode_options options(uint32_t codec, uint64_t segment_bytes = 0) {
  return {sizeof(lpc_encode_options), codec, segment_bytes, 1, 0, 0, 0};
}

lpc_tensor_desc matrix(uint32_t dtype, uint64_t rows, uint64_t columns) { return {dtype, 2, {rows, columns, 0, 0}}; }

// Bytes of which about one in eight is not 0, so that every codec has something to do.
std::vector<uint8_t> sparse_bytes(size_t n) {
  std::vector<uint8_t> bytes(n);
  uint32_t state = 12345;
  for (uint8_t& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 29 == 0 ? state >> 16 : 0);
  }
  return bytes;
}

std::vector<uint8_t> encode(const lpc_tensor_desc& tensor, const lpc_encode_options& how, Bytes src) {
  std::vector<uint8_t> blob(encode_bound(tensor, how));
  blob.resize(encode_blob(tensor, how, src, blob));
  return blob;
}

Bytes stored(const BlobHeader& header, size_t index, Bytes blob) {
  return blob.subspan(header.segments[index].offset, header.segments[index].bytes);
}

void check_guarded(uint32_t codec, uint32_t dtype, uint64_t rows, uint64_t columns, GuardedBuffer::At at) {
  const lpc_tensor_desc tensor = matrix(dtype, rows, columns);
  const std::vector<uint8_t> src = sparse_bytes(rows * columns * dtype_bytes(dtype));
  GuardedBuffer in(src.size(), at), out(src.size(), at), room(encode_bound(tensor, options(codec, 500)), at);
  std::copy(src.begin(), src.end(), in.data());
  const uint64_t bytes = encode_blob(tensor, options(codec, 500), in.span(), room.span());
  GuardedBuffer blob(bytes, at);
  std::copy_n(room.data(), bytes, blob.data());
  const BlobHeader header = parse_whole_blob(blob.span());
  decode_rows(header, blob.span(), 0, header.rows, out.span(), 2);
  CHECK(std::equal(src.begin(), src.end(), out.data()));
}

TEST(test_blob_every_dtype_and_width_stays_within_guard_pages) {
  for (uint32_t codec : kCodecs) {
    for (uint32_t dtype = LPC_DTYPE_BF16; dtype <= LPC_DTYPE_FP8_E5M2; ++dtype) {
      for (uint64_t columns : {1, 7, 64, 65, 130, 333}) {
        for (GuardedBuffer::At at : test::kBothEnds) check_guarded(codec, dtype, 9, columns, at);
      }
    }
  }
}

TEST(test_decode_segment_stays_within_stored_bytes_output_and_scratch) {
  const lpc_tensor_desc tensor = matrix(LPC_DTYPE_BF16, 40, 201);
  const std::vector<uint8_t> src = sparse_bytes(40 * 201 * 2);
  const std::vector<uint8_t> blob = encode(tensor, options(LPC_CODEC_LZ4, 4000), src);
  const BlobHeader header = parse_blob_header(blob, blob.size());
  for (size_t index = 0; index < header.segments.size(); ++index) {
    CHECK(index > 0 || header.segments[index].encoding == Encoding::kCodec);
    for (GuardedBuffer::At at : test::kBothEnds) {
      GuardedBuffer in(header.segments[index].bytes, at), out(header.segment_decoded_bytes(index), at);
      GuardedBuffer scratch(segment_scratch_bytes(header), at);
      const Bytes bytes = stored(header, index, blob);
      std::copy(bytes.begin(), bytes.end(), in.data());
      verify_segment(header, index, in.span());
      decode_segment(header, index, in.span(), out.span(), scratch.span());
      const uint8_t* expected = src.data() + header.segment_first_row(index) * header.row_bytes;
      CHECK(std::equal(expected, expected + out.size(), out.data()));
    }
  }
}

TEST(test_decode_segment_any_alignment_is_exact) {
  const lpc_tensor_desc tensor = matrix(LPC_DTYPE_BF16, 1, 999);
  const std::vector<uint8_t> src = sparse_bytes(999 * 2);
  const std::vector<uint8_t> blob = encode(tensor, options(LPC_CODEC_LZ4), src);
  const BlobHeader header = parse_blob_header(blob, blob.size());
  std::vector<uint8_t> in(blob.size() + 64), out(src.size() + 64), scratch(segment_scratch_bytes(header) + 64);
  for (size_t shift = 0; shift < 64; ++shift) {
    const Bytes bytes = stored(header, 0, blob);
    std::copy(bytes.begin(), bytes.end(), in.begin() + shift);
    decode_segment(header, 0, Bytes(in).subspan(shift, bytes.size()), MutableBytes(out).subspan(shift, src.size()),
                   MutableBytes(scratch).subspan(shift));
    CHECK(std::equal(src.begin(), src.end(), out.begin() + shift));
  }
}

TEST(test_blob_header_can_be_read_from_a_prefix) {
  const std::vector<uint8_t> src = sparse_bytes(64 * 64 * 2);
  const std::vector<uint8_t> blob = encode(matrix(LPC_DTYPE_FP16, 64, 64), options(LPC_CODEC_LZ4, 1000), src);
  const uint32_t header_bytes = peek_header_bytes(Bytes(blob).first(kFixedHeaderBytes));
  const BlobHeader header = parse_blob_header(Bytes(blob).first(header_bytes), blob.size());
  CHECK(header.header_bytes == header_bytes);
  CHECK(header.blob_bytes == blob.size());
  CHECK(header.decoded_bytes() == src.size());
  CHECK(header.rows == 64 && header.row_bytes == 128 && header.rows_per_segment == 7);
  CHECK(header.segments.size() == 10 && header.segment_rows(9) == 1);
  CHECK(parse_blob_header(Bytes(blob).first(header_bytes), blob.size() + 4096).blob_bytes == blob.size());
  CHECK_CONTAINS(test::error_of([&] { parse_blob_header(Bytes(blob).first(header_bytes), blob.size() - 1); }),
                 "LPC_FORMAT_ERROR: segment[9] (offset ");
  CHECK_CONTAINS(test::error_of([&] { parse_blob_header(Bytes(blob).first(header_bytes - 1), blob.size()); }),
                 "segment[9].reserved (offset 415): cut short");
}

TEST(test_blob_every_bit_flip_in_the_header_is_an_error) {
  const std::vector<uint8_t> src = sparse_bytes(16 * 64 * 2);
  std::vector<uint8_t> blob = encode(matrix(LPC_DTYPE_BF16, 16, 64), options(LPC_CODEC_LZ4, 1000), src);
  const size_t header_bytes = peek_header_bytes(blob);
  for (size_t bit = 0; bit < 8 * header_bytes; ++bit) {
    blob[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    CHECK_CONTAINS(test::error_of([&] { parse_blob_header(blob, blob.size()); }), " (offset ");
    blob[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
  }
  CHECK(parse_blob_header(blob, blob.size()).segments.size() == 3);
}

TEST(test_blob_truncated_at_every_byte_is_an_error) {
  const std::vector<uint8_t> src = sparse_bytes(16 * 64 * 2);
  const std::vector<uint8_t> blob = encode(matrix(LPC_DTYPE_BF16, 16, 64), options(LPC_CODEC_LZ4, 1000), src);
  for (size_t length = 0; length < blob.size(); ++length) {
    GuardedBuffer part(length, GuardedBuffer::At::kEnd);
    std::copy_n(blob.begin(), length, part.data());
    CHECK_CONTAINS(test::error_of([&] { parse_whole_blob(part.span()); }),
                   "(offset " + std::to_string(length) + "): cut short");
  }
}

TEST(test_decode_segment_wrong_sizes_are_errors) {
  const std::vector<uint8_t> src = sparse_bytes(64 * 64 * 2);
  const std::vector<uint8_t> blob = encode(matrix(LPC_DTYPE_BF16, 64, 64), options(LPC_CODEC_LZ4), src);
  const BlobHeader header = parse_blob_header(blob, blob.size());
  const Bytes in = stored(header, 0, blob);
  std::vector<uint8_t> out(src.size()), scratch(segment_scratch_bytes(header));
  const MutableBytes small_out = MutableBytes(out).first(src.size() - 1);
  const MutableBytes small_scratch = MutableBytes(scratch).first(scratch.size() - 1);
  const Bytes small_in = in.first(in.size() - 1);
  CHECK_CONTAINS(test::error_of([&] { decode_segment(header, 0, small_in, out, scratch); }), "LPC_FORMAT_ERROR");
  CHECK_CONTAINS(test::error_of([&] { decode_segment(header, 0, in, small_out, scratch); }), "LPC_INVALID_ARGUMENT");
  CHECK_CONTAINS(test::error_of([&] { decode_segment(header, 0, in, out, small_scratch); }), "LPC_BUFFER_TOO_SMALL");
  CHECK_CONTAINS(test::error_of([&] { verify_segment(header, 0, small_in); }), "LPC_CHECKSUM_MISMATCH: segment[0]");
}

TEST(test_align_up_is_exact) {
  CHECK(align_up(0, 64) == 0 && align_up(1, 64) == 64 && align_up(64, 64) == 64 && align_up(65, 64) == 128);
}

}  // namespace
}  // namespace lpc
