// The C API: arguments out of range, null pointers, capacities, and errors told per thread.
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "lpc/lpc.h"
#include "tests/main.h"

namespace {

lpc_tensor_desc tensor() { return {LPC_DTYPE_FP16, 2, {4, 100, 0, 0}}; }
lpc_encode_options options() { return {sizeof(lpc_encode_options), LPC_CODEC_LZ4, 0, 1, 0, 0, 0}; }

std::vector<uint8_t> sample_blob() {
  const lpc_tensor_desc desc = tensor();
  const lpc_encode_options how = options();
  const std::vector<uint8_t> src(800, 0x11);
  uint64_t bound = 0;
  uint64_t written = 0;
  CHECK(lpc_encode_bound(&desc, &how, &bound) == LPC_OK);
  std::vector<uint8_t> blob(bound);
  CHECK(lpc_encode(&desc, &how, src.data(), src.size(), blob.data(), blob.size(), &written) == LPC_OK);
  CHECK(written > 0 && written <= bound);
  blob.resize(written);
  return blob;
}

void check_error(lpc_status got, lpc_status expected, const char* message) {
  CHECK(got == expected);
  CHECK_CONTAINS(lpc_last_error(), message);
}

TEST(test_capi_null_pointers_are_invalid_arguments) {
  const lpc_tensor_desc desc = tensor();
  const lpc_encode_options how = options();
  uint8_t byte = 0;
  uint64_t size = 7;
  check_error(lpc_encode_bound(nullptr, &how, &size), LPC_INVALID_ARGUMENT, "tensor: null pointer");
  check_error(lpc_encode_bound(&desc, nullptr, &size), LPC_INVALID_ARGUMENT, "options: null pointer");
  check_error(lpc_encode_bound(&desc, &how, nullptr), LPC_INVALID_ARGUMENT, "bound_bytes: null pointer");
  check_error(lpc_encode(&desc, &how, nullptr, 800, &byte, 1, &size), LPC_INVALID_ARGUMENT, "src: null pointer");
  check_error(lpc_encode(&desc, &how, &byte, 800, nullptr, 1, &size), LPC_INVALID_ARGUMENT, "dst: null pointer");
  check_error(lpc_describe(nullptr, 100, nullptr), LPC_INVALID_ARGUMENT, "info: null pointer");
  check_error(lpc_decode(nullptr, 100, &byte, 1, 1), LPC_INVALID_ARGUMENT, "blob: null pointer");
  check_error(lpc_implementation(nullptr), LPC_INVALID_ARGUMENT, "name: null pointer");
  const lpc_matrix* none = nullptr;
  float y;
  check_error(lpc_matrix_multiply(none, 1, 1, &y, 1, &y, 1, 1), LPC_INVALID_ARGUMENT, "matrix: null pointer");
  check_error(lpc_matrix_multiply_each(nullptr, 1, 1, 1, &y, 1, &y, 1, 1), LPC_INVALID_ARGUMENT,
              "matrices: null pointer");
  check_error(lpc_matrix_multiply_each(&none, 1, 1, 1, &y, 1, &y, 1, 1), LPC_INVALID_ARGUMENT, "matrix: null pointer");
  check_error(lpc_matrix_read_each(&none, 1, 1, &size), LPC_INVALID_ARGUMENT, "matrix: null pointer");
  CHECK(size == 7);  // out-parameters are written only on LPC_OK
}

TEST(test_capi_struct_sizes_and_reserved_fields_are_checked) {
  const lpc_tensor_desc desc = tensor();
  lpc_encode_options how = options();
  uint64_t size = 0;
  how.struct_bytes = 8;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_INVALID_ARGUMENT, "options.struct_bytes: got 8, expected 32");
  how = options();
  how.layout = 1;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_INVALID_ARGUMENT, "options.layout: got 1, expected 0");
  lpc_blob_info info{};
  const std::vector<uint8_t> blob = sample_blob();
  check_error(lpc_describe(blob.data(), blob.size(), &info), LPC_INVALID_ARGUMENT, "info.struct_bytes: got 0");
}

TEST(test_capi_tensor_out_of_range_is_refused) {
  const lpc_encode_options how = options();
  uint64_t size = 0;
  lpc_tensor_desc desc = tensor();
  desc.dtype = 99;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_UNSUPPORTED, "dtype: got 99, expected 1 to 7");
  desc = tensor();
  desc.rank = 5;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_INVALID_ARGUMENT, "rank: got 5, expected at most 4");
  desc = tensor();
  desc.shape[2] = 1;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_INVALID_ARGUMENT,
              "shape[2]: got 1, expected 0 beyond the rank");
  desc = tensor();
  desc.shape[0] = uint64_t{1} << 60;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_INVALID_ARGUMENT, "shape[0]: got 1152921504606846976");
}

TEST(test_capi_codec_of_the_future_is_unsupported) {
  const lpc_tensor_desc desc = tensor();
  lpc_encode_options how = options();
  how.codec = 77;
  uint64_t size = 0;
  check_error(lpc_encode_bound(&desc, &how, &size), LPC_UNSUPPORTED,
              "codec: got 77, expected one of 0 (stored), 1 (lz4)");
}

TEST(test_capi_source_of_another_size_is_refused) {
  const lpc_tensor_desc desc = tensor();
  const lpc_encode_options how = options();
  std::vector<uint8_t> src(799), dst(4096);
  uint64_t written = 0;
  check_error(lpc_encode(&desc, &how, src.data(), src.size(), dst.data(), dst.size(), &written), LPC_INVALID_ARGUMENT,
              "src_bytes: got 799, expected 800 for this shape");
}

TEST(test_capi_small_buffers_are_refused_and_untouched) {
  const std::vector<uint8_t> blob = sample_blob();
  std::vector<uint8_t> out(799, 0xEE);
  check_error(lpc_decode(blob.data(), blob.size(), out.data(), out.size(), 1), LPC_BUFFER_TOO_SMALL,
              "dst_capacity: got 799 bytes, expected at least 800");
  CHECK(out == std::vector<uint8_t>(799, 0xEE));
}

TEST(test_capi_describe_and_decode_rows_agree_with_the_tensor) {
  const std::vector<uint8_t> blob = sample_blob();
  lpc_blob_info info{};
  info.struct_bytes = sizeof info;
  CHECK(lpc_describe(blob.data(), blob.size(), &info) == LPC_OK);
  CHECK(info.tensor.dtype == LPC_DTYPE_FP16 && info.tensor.rank == 2 && info.tensor.shape[1] == 100);
  CHECK(info.decoded_bytes == 800 && info.blob_bytes == blob.size() && info.row_bytes == 200);
  lpc_segment_info segment{};
  segment.struct_bytes = sizeof segment;
  CHECK(lpc_describe_segment(blob.data(), blob.size(), 0, &segment) == LPC_OK);
  CHECK(segment.offset == 128 && segment.first_row == 0 && segment.row_count == 4);
  check_error(lpc_describe_segment(blob.data(), blob.size(), 1, &segment), LPC_INVALID_ARGUMENT,
              "index: got 1, expected less than 1");
  std::vector<uint8_t> rows(400);
  CHECK(lpc_decode_rows(blob.data(), blob.size(), 1, 2, rows.data(), rows.size(), 1) == LPC_OK);
  CHECK(rows == std::vector<uint8_t>(400, 0x11));
  CHECK(lpc_decode_rows(blob.data(), blob.size(), 4, 0, nullptr, 0, 1) == LPC_OK);
  check_error(lpc_decode_rows(blob.data(), blob.size(), 3, ~uint64_t{0}, rows.data(), rows.size(), 1),
              LPC_INVALID_ARGUMENT, "expected a range within 4");
}

TEST(test_capi_last_error_belongs_to_the_thread) {
  check_error(lpc_implementation(nullptr), LPC_INVALID_ARGUMENT, "name: null pointer");
  std::thread([] { CHECK(std::strcmp(lpc_last_error(), "") == 0); }).join();
  CHECK_CONTAINS(lpc_last_error(), "name: null pointer");
}

TEST(test_capi_versions_are_those_of_the_header) {
  CHECK(lpc_api_version() == LPC_API_VERSION);
  CHECK(std::string(lpc_version()) == LPC_VERSION);
  CHECK(std::string(lpc_status_name(LPC_FORMAT_ERROR)) == "LPC_FORMAT_ERROR");
}

template <typename Info>
Info empty() {
  Info info{};
  info.struct_bytes = sizeof info;
  return info;
}

TEST(test_capi_lists_end_with_not_found) {
  auto codec = empty<lpc_codec_info>();
  uint32_t codecs = 0;
  for (; lpc_describe_codec(codecs, &codec) == LPC_OK; ++codecs) {
    CHECK(codec.codec < 256 && codec.name[0] != '\0' && codec.dtypes != 0 && codec.assumed_decode_bytes_per_s > 0);
    auto layout = empty<lpc_layout_info>();
    uint32_t layouts = 0;
    for (; lpc_describe_layout(codec.codec, layouts, &layout) == LPC_OK; ++layouts) {
      CHECK(layout.layout != 0 && layout.name[0] != '\0');
    }
    CHECK(layouts == codec.layout_count);
    check_error(lpc_describe_layout(codec.codec, layouts, &layout), LPC_NOT_FOUND, "layouts");
  }
  const std::string last = "index: got " + std::to_string(codecs) + ", expected less than " + std::to_string(codecs);
  check_error(lpc_describe_codec(codecs, &codec), LPC_NOT_FOUND, last.c_str());
  check_error(lpc_describe_codec(~0u, &codec), LPC_NOT_FOUND, "index: got 4294967295, expected less than ");
  auto counter = empty<lpc_counter_info>();
  const uint32_t counters = (sizeof(lpc_session_stats) - 8) / 8;
  CHECK(lpc_describe_counter(counters - 1, &counter) == LPC_OK && std::string(counter.name) == "transcode_ns");
  check_error(lpc_describe_counter(counters, &counter), LPC_NOT_FOUND, "index: got 22, expected less than 22 counters");
}

TEST(test_capi_lists_check_their_arguments) {
  lpc_codec_info codec{};
  lpc_layout_info layout{};
  lpc_counter_info counter{};
  check_error(lpc_describe_codec(0, nullptr), LPC_INVALID_ARGUMENT, "info: null pointer");
  check_error(lpc_describe_layout(LPC_CODEC_PACKED, 0, nullptr), LPC_INVALID_ARGUMENT, "info: null pointer");
  check_error(lpc_describe_counter(0, nullptr), LPC_INVALID_ARGUMENT, "info: null pointer");
  check_error(lpc_describe_codec(0, &codec), LPC_INVALID_ARGUMENT, "info.struct_bytes: got 0, expected 48");
  check_error(lpc_describe_layout(LPC_CODEC_PACKED, 0, &layout), LPC_INVALID_ARGUMENT, "info.struct_bytes: got 0");
  check_error(lpc_describe_counter(0, &counter), LPC_INVALID_ARGUMENT, "info.struct_bytes: got 0");
  layout = empty<lpc_layout_info>();
  check_error(lpc_describe_layout(77, 0, &layout), LPC_UNSUPPORTED, "codec: got 77, expected one of 0 (stored)");
  CHECK(codec.name == nullptr && layout.name == nullptr && counter.name == nullptr);  // written only on LPC_OK
}

TEST(test_capi_codecs_say_what_the_header_names) {
  const struct {
    uint32_t codec;
    const char* name;
    bool is_multiplied, is_transcode_target, is_sparse;
  } known[] = {{LPC_CODEC_STORED, "stored", false, true, false},
               {LPC_CODEC_LZ4, "lz4", false, true, false},
               {LPC_CODEC_ANS, "ans", false, false, false},
               {LPC_CODEC_PACKED, "packed", true, true, false},
               {LPC_CODEC_BITMAP, "bitmap", false, false, true}};
  uint32_t index = 0;
  for (const auto& expected : known) {
    auto info = empty<lpc_codec_info>();
    CHECK(lpc_describe_codec(index++, &info) == LPC_OK);
    CHECK(info.codec == expected.codec && std::string(info.name) == expected.name);
    CHECK(info.is_multiplied == expected.is_multiplied && info.is_sparse == expected.is_sparse);
    CHECK(info.is_transcode_target == expected.is_transcode_target);
    CHECK(info.dtypes == (expected.codec == LPC_CODEC_PACKED ? 1u << LPC_DTYPE_BF16 : 0xFEu));
  }
}

TEST(test_capi_plain_bitmaps_are_multiplied_as_they_are_stored) {
  auto info = empty<lpc_layout_info>();
  CHECK(lpc_describe_layout(LPC_CODEC_BITMAP, 0, &info) == LPC_OK);
  CHECK(info.layout == LPC_BITMAP_STORED && std::string(info.name) == "stored" && info.is_multiplied == 1);
  CHECK(lpc_describe_layout(LPC_CODEC_BITMAP, 1, &info) == LPC_OK);
  CHECK(info.layout == LPC_BITMAP_ANS && std::string(info.name) == "ans" && info.is_multiplied == 0);
}

TEST(test_capi_memory_figures_are_whole) {
  check_error(lpc_get_memory_figures(nullptr), LPC_INVALID_ARGUMENT, "figures: null pointer");
  lpc_memory_figures figures{};
  check_error(lpc_get_memory_figures(&figures), LPC_INVALID_ARGUMENT, "figures.struct_bytes: got 0, expected 80");
  CHECK(figures.part_bytes == 0);
  figures = empty<lpc_memory_figures>();
  CHECK(lpc_get_memory_figures(&figures) == LPC_OK);
  uint64_t values[9];
  static_assert(sizeof figures == 8 + sizeof values);
  std::memcpy(values, &figures.part_bytes, sizeof values);
  for (uint64_t value : values) CHECK(value > 0);
  CHECK(figures.least_ring_parts == 3 && figures.row_segment_bytes < figures.part_bytes);
}

TEST(test_capi_transcoded_bytes_are_at_most_decoded) {
  lpc_tensor_desc desc{LPC_DTYPE_BF16, 2, {4096, 4096, 0, 0}};
  const uint64_t decoded = 2 * 4096 * 4096;
  uint64_t bytes = 7;
  CHECK(lpc_transcoded_bytes_bound(&desc, decoded / 2, &bytes) == LPC_OK);
  CHECK(bytes > decoded * 12 / 16 && bytes < decoded * 13 / 16);
  CHECK(lpc_transcoded_bytes_bound(&desc, decoded, &bytes) == LPC_OK && bytes == decoded);
  CHECK(lpc_transcoded_bytes_bound(&desc, decoded * 3 / 4, &bytes) == LPC_OK && bytes > decoded * 8 / 10);
  bytes = 7;
  desc.dtype = LPC_DTYPE_FP16;
  check_error(lpc_transcoded_bytes_bound(&desc, 1, &bytes), LPC_UNSUPPORTED,
              "got dtype fp16 and rank 2, expected bf16");
  check_error(lpc_transcoded_bytes_bound(nullptr, 1, &bytes), LPC_INVALID_ARGUMENT, "tensor: null pointer");
  check_error(lpc_transcoded_bytes_bound(&desc, 1, nullptr), LPC_INVALID_ARGUMENT, "bound_bytes: null pointer");
  CHECK(bytes == 7);
}

}  // namespace
