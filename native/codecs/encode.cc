#include "codecs/encode.h"

#include <algorithm>
#include <memory>

#include "base/parallel.h"
#include "codecs/codec.h"
#include "codecs/layout.h"
#include "codecs/segment_writer.h"

namespace lpc {

void check_options(const lpc_encode_options& options) {
  if (options.struct_bytes != sizeof options) {
    throw Error(LPC_INVALID_ARGUMENT, "options.struct_bytes: got " + std::to_string(options.struct_bytes) +
                                          ", expected " + std::to_string(sizeof options));
  }
  if (options.segment_bytes > kMaxSegmentBytes) {
    throw Error(LPC_INVALID_ARGUMENT, "options.segment_bytes: got " + std::to_string(options.segment_bytes) +
                                          ", expected at most " + std::to_string(kMaxSegmentBytes));
  }
  if (options.raw_parts > LPC_PARTIAL_WHOLE) {
    throw Error(LPC_INVALID_ARGUMENT,
                "options.raw_parts: got " + std::to_string(options.raw_parts) + ", expected at most 1024");
  }
  if (options.reserved != 0) {
    throw Error(LPC_INVALID_ARGUMENT, "options.reserved: got " + std::to_string(options.reserved) + ", expected 0");
  }
}

namespace {

// Long rows make larger segments: a product uses a piece of the activations for all rows of a segment.
constexpr uint64_t kDefaultRows = 64;
constexpr uint64_t kMostDefaultBytes = uint64_t{4} << 20;

uint64_t rows_per_segment(const TensorRows& rows, uint64_t segment_bytes) {
  const uint64_t row_bytes = std::max<uint64_t>(rows.row_bytes, 1);
  const uint64_t usual =
      std::max(kDefaultSegmentBytes / row_bytes, std::min(kDefaultRows, kMostDefaultBytes / row_bytes));
  return std::clamp<uint64_t>(segment_bytes == 0 ? usual : segment_bytes / row_bytes, 1,
                              std::max<uint64_t>(rows.rows, 1));
}

// A header with everything but codec parameters, the entries of the segments, and blob_bytes.
BlobHeader plan_blob(const lpc_tensor_desc& tensor, const lpc_encode_options& options) {
  check_options(options);
  BlobHeader header;
  header.codec = get_codec(options.codec).variant(options.layout).id();
  header.tensor = tensor;
  const TensorRows rows = tensor_rows(tensor, DescSource::kCaller);
  header.rows = rows.rows;
  header.row_bytes = rows.row_bytes;
  header.rows_per_segment = rows_per_segment(rows, options.segment_bytes);
  const uint64_t count = header.decoded_bytes() == 0 ? 0 : ceil_div(header.rows, header.rows_per_segment);
  if (count > kMaxSegments) {
    throw Error(LPC_INVALID_ARGUMENT, "options.segment_bytes: got " + std::to_string(options.segment_bytes) +
                                          ", which makes " + std::to_string(count) +
                                          " segments, expected less than 2^24");
  }
  header.segments.resize(count);
  return header;
}

}  // namespace

uint64_t encode_bound(const lpc_tensor_desc& tensor, const lpc_encode_options& options) {
  BlobHeader header = plan_blob(tensor, options);
  header.header_bytes = header_bytes_with(header, get_codec(header.codec).params_bound(tensor));
  return blob_bytes_bound(header);
}

uint64_t encode_blob(const lpc_tensor_desc& tensor, const lpc_encode_options& options, Bytes src, MutableBytes dst) {
  BlobHeader header = plan_blob(tensor, options);
  if (src.size() != header.decoded_bytes()) {
    throw Error(LPC_INVALID_ARGUMENT, "src_bytes: got " + std::to_string(src.size()) + ", expected " +
                                          std::to_string(header.decoded_bytes()) + " for this shape");
  }
  header.codec_params = get_codec(header.codec).variant(options.layout).make_params(tensor, src);
  header.header_bytes = header_bytes_with(header, header.codec_params.size());
  require_room(header, dst);
  SegmentWriter writer(header, options.raw_parts, dst);
  const size_t count = header.segments.size();
  const size_t scratch_bytes = writer.scratch_bytes();
  std::vector<std::unique_ptr<uint8_t[]>> scratch(effective_threads(count, options.threads));
  parallel_for_workers(count, options.threads, [&](size_t index, unsigned worker) {
    if (!scratch[worker]) scratch[worker].reset(new uint8_t[scratch_bytes]);
    const uint64_t first = header.segment_first_row(index) * header.row_bytes;
    writer.encode(index, src.subspan(first, header.segment_decoded_bytes(index)),
                  {scratch[worker].get(), scratch_bytes});
  });
  return writer.finish();
}

}  // namespace lpc
