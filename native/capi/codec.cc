// The codec half of the C API: arguments are checked here, the work is done behind guarded().
#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "capi/arguments.h"
#include "codecs/decode.h"
#include "codecs/encode.h"
#include "codecs/packed/params.h"
#include "codecs/partial.h"
#include "codecs/transcode.h"

namespace {

using lpc::Bytes;
using lpc::Error;
using lpc::MutableBytes;
using lpc::capi::require;
using lpc::capi::require_struct;

// A buffer; null is allowed only for none.
Bytes input(const void* data, uint64_t bytes, const char* name) {
  if (bytes != 0) require(data, name);
  return {static_cast<const uint8_t*>(data), bytes};
}
MutableBytes output(void* data, uint64_t bytes, const char* name) {
  if (bytes != 0) require(data, name);
  return {static_cast<uint8_t*>(data), bytes};
}

MutableBytes first_bytes(MutableBytes buffer, uint64_t needed) {
  if (buffer.size() < needed) {
    throw Error(LPC_BUFFER_TOO_SMALL, "dst_capacity: got " + std::to_string(buffer.size()) +
                                          " bytes, expected at least " + std::to_string(needed));
  }
  return buffer.first(needed);
}

lpc_blob_info blob_info(const lpc::BlobHeader& header) {
  lpc_blob_info info{};
  info.struct_bytes = sizeof info;
  info.format_version = LPC_FORMAT_VERSION;
  info.codec = header.codec;
  info.tensor = header.tensor;
  info.decoded_bytes = header.decoded_bytes();
  info.blob_bytes = header.blob_bytes;
  info.header_bytes = header.header_bytes;
  info.rows = header.rows;
  info.row_bytes = header.row_bytes;
  info.rows_per_segment = header.rows_per_segment;
  info.segment_count = header.segments.size();
  if (header.codec != LPC_CODEC_STORED) {
    info.raw_segment_count = static_cast<uint64_t>(
        std::count_if(header.segments.begin(), header.segments.end(),
                      [](const lpc::Segment& segment) { return segment.encoding == lpc::Encoding::kRaw; }));
  }
  return info;
}

// Options of this version from those of any; `reserved` of an old caller is not there.
lpc_encode_options read_options(const lpc_encode_options* options) {
  constexpr uint32_t kFirstVersionBytes = 24;
  require(options, "options");
  if (options->struct_bytes != kFirstVersionBytes) require_struct(options, "options");
  lpc_encode_options result{};
  std::memcpy(&result, options, options->struct_bytes);
  result.struct_bytes = sizeof result;
  return result;
}

void check_rows(const lpc::BlobHeader& header, uint64_t first_row, uint64_t row_count) {
  if (first_row <= header.rows && row_count <= header.rows - first_row) return;
  throw Error(LPC_INVALID_ARGUMENT, "rows: got " + std::to_string(row_count) + " from " + std::to_string(first_row) +
                                        ", expected a range within " + std::to_string(header.rows));
}

}  // namespace

extern "C" lpc_status lpc_fastest_packed_layout(uint32_t* layout) {
  return lpc::guarded([&] {
    require(layout, "layout");
    *layout = static_cast<uint32_t>(lpc::packed::fastest_layout());
  });
}

extern "C" lpc_status lpc_encode_bound(const lpc_tensor_desc* tensor, const lpc_encode_options* options,
                                       uint64_t* bound_bytes) {
  return lpc::guarded([&] {
    require(tensor, "tensor");
    const lpc_encode_options how = read_options(options);
    require(bound_bytes, "bound_bytes");
    *bound_bytes = lpc::encode_bound(*tensor, how);
  });
}

extern "C" lpc_status lpc_encode(const lpc_tensor_desc* tensor, const lpc_encode_options* options, const void* src,
                                 uint64_t src_bytes, void* dst, uint64_t dst_capacity, uint64_t* written_bytes) {
  return lpc::guarded([&] {
    require(tensor, "tensor");
    const lpc_encode_options how = read_options(options);
    require(written_bytes, "written_bytes");
    *written_bytes = lpc::encode_blob(*tensor, how, input(src, src_bytes, "src"), output(dst, dst_capacity, "dst"));
  });
}

extern "C" lpc_status lpc_transcode_bound(const void* blob, uint64_t blob_bytes, const lpc_encode_options* options,
                                          uint64_t* bound_bytes) {
  return lpc::guarded([&] {
    const lpc_encode_options how = read_options(options);
    require(bound_bytes, "bound_bytes");
    *bound_bytes = lpc::transcode_bound(lpc::parse_whole_blob(input(blob, blob_bytes, "blob")), how);
  });
}

extern "C" lpc_status lpc_transcode(const void* blob, uint64_t blob_bytes, const lpc_encode_options* options, void* dst,
                                    uint64_t dst_capacity, uint64_t* written_bytes) {
  return lpc::guarded([&] {
    const lpc_encode_options how = read_options(options);
    require(written_bytes, "written_bytes");
    const Bytes bytes = input(blob, blob_bytes, "blob");
    *written_bytes = lpc::transcode_blob(lpc::parse_whole_blob(bytes), bytes, how, output(dst, dst_capacity, "dst"));
  });
}

extern "C" lpc_status lpc_partial_fraction(const lpc_rates* rates, double* fraction) {
  return lpc::guarded([&] {
    require_struct(rates, "rates");
    require(fraction, "fraction");
    *fraction = lpc::partial_fraction(*rates);
  });
}

extern "C" lpc_status lpc_describe(const void* blob, uint64_t blob_bytes, lpc_blob_info* info) {
  return lpc::guarded([&] {
    require_struct(info, "info");
    *info = blob_info(lpc::parse_whole_blob(input(blob, blob_bytes, "blob")));
  });
}

extern "C" lpc_status lpc_describe_segment(const void* blob, uint64_t blob_bytes, uint64_t index,
                                           lpc_segment_info* info) {
  return lpc::guarded([&] {
    require_struct(info, "info");
    const lpc::BlobHeader header = lpc::parse_whole_blob(input(blob, blob_bytes, "blob"));
    if (index >= header.segments.size()) {
      throw Error(LPC_INVALID_ARGUMENT, "index: got " + std::to_string(index) + ", expected less than " +
                                            std::to_string(header.segments.size()));
    }
    const lpc::Segment& segment = header.segments[index];
    *info = {sizeof *info,    static_cast<uint32_t>(segment.encoding), segment.offset,
             segment.bytes,   header.segment_first_row(index),         header.segment_rows(index),
             segment.checksum};
  });
}

extern "C" lpc_status lpc_decode(const void* blob, uint64_t blob_bytes, void* dst, uint64_t dst_capacity,
                                 uint32_t threads) {
  return lpc::guarded([&] {
    const Bytes bytes = input(blob, blob_bytes, "blob");
    const lpc::BlobHeader header = lpc::parse_whole_blob(bytes);
    const MutableBytes out = first_bytes(output(dst, dst_capacity, "dst"), header.decoded_bytes());
    lpc::decode_rows(header, bytes, 0, header.rows, out, threads);
  });
}

extern "C" lpc_status lpc_decode_rows(const void* blob, uint64_t blob_bytes, uint64_t first_row, uint64_t row_count,
                                      void* dst, uint64_t dst_capacity, uint32_t threads) {
  return lpc::guarded([&] {
    const Bytes bytes = input(blob, blob_bytes, "blob");
    const lpc::BlobHeader header = lpc::parse_whole_blob(bytes);
    check_rows(header, first_row, row_count);
    const MutableBytes out = first_bytes(output(dst, dst_capacity, "dst"), row_count * header.row_bytes);
    lpc::decode_rows(header, bytes, first_row, row_count, out, threads);
  });
}
