// Counters of living sessions, and cancelling their runs.
#include "ep/sessions.h"

#include <cstddef>

#include "capi/arguments.h"

using lpc::capi::require;

extern "C" lpc_status lpc_cancel_run(const char* run_id) {
  return lpc::guarded([&] {
    require(run_id, "run_id");
    lpc::cancel_run(run_id);
  });
}

extern "C" lpc_status lpc_get_session_stats(const char* session_id, lpc_session_stats* stats) {
  return lpc::guarded([&] {
    require(session_id, "session_id");
    require(stats, "stats");
    const bool first_version = stats->struct_bytes == offsetof(lpc_session_stats, encode_ns);
    if (!first_version) lpc::capi::require_struct(stats, "stats");
    const auto observer = lpc::find_session(session_id);
    const lpc::Statistics& source = observer->statistics;
    stats->nodes_claimed = source.nodes_claimed;
    stats->nodes_unclaimed = source.nodes_unclaimed;
    stats->runs = source.runs;
    stats->bytes_read = source.bytes_read;
    stats->bytes_decoded = source.bytes_decoded;
    stats->blobs_decompressed = source.blobs_decompressed;
    stats->layers_decompressed = source.layers_decompressed;
    stats->rows_fetched = source.rows_fetched;
    stats->wait_ns = source.wait_ns;
    stats->read_ns = source.read_ns;
    stats->decode_ns = source.decode_ns;
    stats->compute_ns = source.compute_ns;
    stats->ring_bytes = source.ring_bytes;
    stats->pinned_bytes = source.pinned_bytes;
    stats->layer = source.layer;
    stats->read_mode = source.read_mode;
    stats->direct_bytes_per_s = source.direct_bytes_per_s;
    stats->buffered_bytes_per_s = source.buffered_bytes_per_s;
    if (first_version) return;
    stats->encode_ns = source.encode_ns;
    stats->transcoded_from_bytes = source.transcoded_from_bytes;
    stats->transcoded_bytes = source.transcoded_bytes;
    stats->transcode_ns = source.transcode_ns;
  });
}
