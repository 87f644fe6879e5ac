// What this build has and takes: codecs, their layouts, memory.
#include "capi/arguments.h"
#include "codecs/codec.h"
#include "matmul/registry.h"
#include "store/memory_figures.h"

namespace {

using lpc::Codec;
using lpc::capi::require_index;
using lpc::capi::require_struct;

// Asked of the matrices themselves, for a row of zeros.
bool is_multiplied(const Codec& codec, uint32_t layout) {
  constexpr uint64_t kColumns = 64;
  const std::vector<uint8_t> row(2 * kColumns);
  lpc::BlobHeader header;
  header.codec = codec.id();
  header.tensor = {LPC_DTYPE_BF16, 2, {1, kColumns, 0, 0}};
  header.rows = header.rows_per_segment = 1;
  header.row_bytes = row.size();
  header.segments.resize(1);
  header.codec_params = codec.variant(layout).make_params(header.tensor, row);
  return lpc::can_multiply_stored(header);
}

}  // namespace

extern "C" lpc_status lpc_describe_codec(uint32_t index, lpc_codec_info* info) {
  return lpc::guarded([&] {
    require_struct(info, "info");
    require_index(index, lpc::codec_count(), "codecs");
    const Codec& codec = lpc::codec_at(index);
    lpc_codec_info found{};
    found.struct_bytes = sizeof found;
    found.codec = codec.id();
    found.name = codec.name();
    found.dtypes = codec.dtypes();
    found.layout_count = static_cast<uint32_t>(codec.layouts().size());
    found.is_multiplied = is_multiplied(codec, 0);
    found.is_transcode_target = codec.params_from_sample();
    found.is_sparse = codec.is_sparse();
    found.assumed_decode_bytes_per_s = codec.assumed_decode_bytes_per_s();
    *info = found;
  });
}

extern "C" lpc_status lpc_describe_layout(uint32_t codec, uint32_t index, lpc_layout_info* info) {
  return lpc::guarded([&] {
    require_struct(info, "info");
    const Codec& of = lpc::get_codec(codec);
    require_index(index, of.layouts().size(), "layouts");
    const lpc::CodecLayout& layout = of.layouts()[index];
    *info = {sizeof *info, layout.id, layout.name, is_multiplied(of, layout.id), 0};
  });
}

extern "C" lpc_status lpc_get_memory_figures(lpc_memory_figures* figures) {
  return lpc::guarded([&] {
    require_struct(figures, "figures");
    lpc_memory_figures found{};
    found.struct_bytes = sizeof found;
    found.part_bytes = lpc::kPartBytes;
    found.part_padding_bytes = lpc::kPartPadding;
    found.least_ring_parts = lpc::kLeastRingParts;
    found.read_buffer_bytes = lpc::kReadBufferBytes;
    found.read_ahead_threads = lpc::kReadAheadThreads;
    found.row_segment_bytes = lpc::kRowSegmentBytes;
    found.text_bytes = lpc::kTextBytes;
    found.process_bytes = lpc::kProcessBytes;
    found.reserve_bytes = lpc::kReserveBytes;
    *figures = found;
  });
}

extern "C" lpc_status lpc_transcoded_bytes_bound(const lpc_tensor_desc* tensor, uint64_t stored_bytes,
                                                 uint64_t* bound_bytes) {
  return lpc::guarded([&] {
    lpc::capi::require(tensor, "tensor");
    lpc::capi::require(bound_bytes, "bound_bytes");
    *bound_bytes = lpc::transcoded_bytes_bound(*tensor, stored_bytes);
  });
}
