// The counters of a session: one line each. What is counted where (Statistics), its name, unit and kind, and the field
// of the C API that answers it.
#pragma once

#include <cstddef>

#include "lpc/lpc.h"
#include "store/observer.h"

namespace lpc::capi {

struct SessionCounter {
  const char* name;
  const char* unit;
  lpc_counter_kind kind;
  std::atomic<uint64_t> Statistics::* counted;
  uint64_t lpc_session_stats::* field;
};

inline constexpr SessionCounter kSessionCounters[] = {
    {"nodes_claimed", "nodes", LPC_COUNTER_STATE, &Statistics::nodes_claimed, &lpc_session_stats::nodes_claimed},
    {"nodes_unclaimed", "nodes", LPC_COUNTER_STATE, &Statistics::nodes_unclaimed, &lpc_session_stats::nodes_unclaimed},
    {"runs", "runs", LPC_COUNTER_SUM, &Statistics::runs, &lpc_session_stats::runs},
    {"bytes_read", "bytes", LPC_COUNTER_SUM, &Statistics::bytes_read, &lpc_session_stats::bytes_read},
    {"bytes_decoded", "bytes", LPC_COUNTER_SUM, &Statistics::bytes_decoded, &lpc_session_stats::bytes_decoded},
    {"blobs_decompressed", "blobs", LPC_COUNTER_SUM, &Statistics::blobs_decompressed,
     &lpc_session_stats::blobs_decompressed},
    {"layers_decompressed", "layers", LPC_COUNTER_SUM, &Statistics::layers_decompressed,
     &lpc_session_stats::layers_decompressed},
    {"rows_fetched", "rows", LPC_COUNTER_SUM, &Statistics::rows_fetched, &lpc_session_stats::rows_fetched},
    {"wait_ns", "ns", LPC_COUNTER_SUM, &Statistics::wait_ns, &lpc_session_stats::wait_ns},
    {"read_ns", "ns", LPC_COUNTER_SUM, &Statistics::read_ns, &lpc_session_stats::read_ns},
    {"decode_ns", "ns", LPC_COUNTER_SUM, &Statistics::decode_ns, &lpc_session_stats::decode_ns},
    {"compute_ns", "ns", LPC_COUNTER_SUM, &Statistics::compute_ns, &lpc_session_stats::compute_ns},
    {"ring_bytes", "bytes", LPC_COUNTER_STATE, &Statistics::ring_bytes, &lpc_session_stats::ring_bytes},
    {"pinned_bytes", "bytes", LPC_COUNTER_STATE, &Statistics::pinned_bytes, &lpc_session_stats::pinned_bytes},
    {"layer", "index", LPC_COUNTER_STATE, &Statistics::layer, &lpc_session_stats::layer},
    {"read_mode", "lpc_read_mode", LPC_COUNTER_STATE, &Statistics::read_mode, &lpc_session_stats::read_mode},
    {"direct_bytes_per_s", "bytes/s", LPC_COUNTER_STATE, &Statistics::direct_bytes_per_s,
     &lpc_session_stats::direct_bytes_per_s},
    {"buffered_bytes_per_s", "bytes/s", LPC_COUNTER_STATE, &Statistics::buffered_bytes_per_s,
     &lpc_session_stats::buffered_bytes_per_s},
    {"encode_ns", "ns", LPC_COUNTER_SUM, &Statistics::encode_ns, &lpc_session_stats::encode_ns},
    {"transcoded_from_bytes", "bytes", LPC_COUNTER_SUM, &Statistics::transcoded_from_bytes,
     &lpc_session_stats::transcoded_from_bytes},
    {"transcoded_bytes", "bytes", LPC_COUNTER_SUM, &Statistics::transcoded_bytes, &lpc_session_stats::transcoded_bytes},
    {"transcode_ns", "ns", LPC_COUNTER_SUM, &Statistics::transcode_ns, &lpc_session_stats::transcode_ns},
};

inline constexpr size_t kCountersBegin = offsetof(lpc_session_stats, nodes_claimed);
static_assert(sizeof(lpc_session_stats) == kCountersBegin + sizeof(uint64_t) * std::size(kSessionCounters) &&
                  sizeof(Statistics) == sizeof(std::atomic<uint64_t>) * std::size(kSessionCounters),
              "every counter has its line here");

}  // namespace lpc::capi
