#include "ep/sessions.h"

#include <map>
#include <mutex>

#include "base/error.h"
#include "base/fork.h"

namespace lpc {
namespace {

struct Sessions {
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Observer>> by_id;
  std::map<std::string, std::weak_ptr<CancelFlag>> runs;
};

// Outlives every session, whatever the order of shutdown.
Sessions& sessions() {
  static PerProcess<Sessions> instances;
  return instances.get();
}

std::shared_ptr<Observer> find_session(const char* session_id) {
  const std::lock_guard lock(sessions().mutex);
  const auto found = sessions().by_id.find(session_id);
  auto observer = found == sessions().by_id.end() ? nullptr : found->second.lock();
  if (observer == nullptr) throw Error(LPC_NOT_FOUND, "no session named '" + std::string(session_id) + "'");
  return observer;
}

}  // namespace

void register_session(const std::string& session_id, const std::shared_ptr<Observer>& observer) {
  if (session_id.empty()) return;
  const std::lock_guard lock(sessions().mutex);
  std::erase_if(sessions().by_id, [](const auto& entry) { return entry.second.expired(); });
  sessions().by_id[session_id] = observer;
}

std::shared_ptr<const CancelFlag> cancel_flag(const std::string& run_id) {
  const std::lock_guard lock(sessions().mutex);
  std::erase_if(sessions().runs, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<CancelFlag>& known = sessions().runs[run_id];
  auto flag = known.lock();
  if (flag == nullptr) known = flag = std::make_shared<CancelFlag>(false);
  return flag;
}

void cancel_run(const std::string& run_id) {
  const std::lock_guard lock(sessions().mutex);
  const auto found = sessions().runs.find(run_id);
  const auto flag = found == sessions().runs.end() ? nullptr : found->second.lock();
  if (flag == nullptr) throw Error(LPC_NOT_FOUND, "no run named '" + run_id + "' at this time");
  *flag = true;
}

}  // namespace lpc

extern "C" lpc_status lpc_cancel_run(const char* run_id) {
  return lpc::guarded([&] {
    if (run_id == nullptr) throw lpc::Error(LPC_INVALID_ARGUMENT, "null pointer");
    lpc::cancel_run(run_id);
  });
}

extern "C" lpc_status lpc_get_session_stats(const char* session_id, lpc_session_stats* stats) {
  return lpc::guarded([&] {
    if (session_id == nullptr || stats == nullptr) throw lpc::Error(LPC_INVALID_ARGUMENT, "null pointer");
    const bool first_version = stats->struct_bytes == offsetof(lpc_session_stats, encode_ns);
    if (stats->struct_bytes != sizeof(lpc_session_stats) && !first_version) {
      throw lpc::Error(LPC_INVALID_ARGUMENT, "struct_bytes: got " + std::to_string(stats->struct_bytes) +
                                                 ", expected " + std::to_string(sizeof(lpc_session_stats)));
    }
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
