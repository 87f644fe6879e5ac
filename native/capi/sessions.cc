// Living sessions: their options, their counters, and cancelling their runs.
#include "ep/sessions.h"

#include <cstring>

#include "capi/arguments.h"
#include "capi/session_counters.h"
#include "ep/options.h"

using lpc::capi::require;

extern "C" lpc_status lpc_cancel_run(const char* run_id) {
  return lpc::guarded([&] {
    require(run_id, "run_id");
    lpc::cancel_run(run_id);
  });
}

extern "C" lpc_status lpc_describe_counter(uint32_t index, lpc_counter_info* info) {
  return lpc::guarded([&] {
    lpc::capi::require_struct(info, "info");
    lpc::capi::require_index(index, std::size(lpc::capi::kSessionCounters), "counters");
    const lpc::capi::SessionCounter& counter = lpc::capi::kSessionCounters[index];
    *info = {sizeof *info, counter.kind, counter.name, counter.unit};
  });
}

extern "C" lpc_status lpc_describe_option(uint32_t index, lpc_option_info* info) {
  return lpc::guarded([&] {
    lpc::capi::require_struct(info, "info");
    const auto options = lpc::known_options();
    lpc::capi::require_index(index, options.size(), "options");
    const lpc::OptionInfo& known = options[index];
    *info = {sizeof(*info), 0, known.name, known.values, known.default_value, known.meaning};
  });
}

extern "C" lpc_status lpc_get_session_residence(const char* session_id, char* text, uint64_t capacity,
                                                uint64_t* text_bytes) {
  return lpc::guarded([&] {
    require(session_id, "session_id");
    require(text_bytes, "text_bytes");
    const std::string residence = lpc::find_residence(session_id);
    const uint64_t bytes = residence.size() + 1;
    if (text != nullptr && capacity < bytes) {
      throw lpc::Error(LPC_BUFFER_TOO_SMALL,
                       "capacity: got " + std::to_string(capacity) + ", expected at least " + std::to_string(bytes));
    }
    if (text != nullptr) std::memcpy(text, residence.c_str(), bytes);
    *text_bytes = bytes;
  });
}

extern "C" lpc_status lpc_get_session_stats(const char* session_id, lpc_session_stats* stats) {
  return lpc::guarded([&] {
    require(session_id, "session_id");
    require(stats, "stats");
    if (stats->struct_bytes != offsetof(lpc_session_stats, encode_ns)) lpc::capi::require_struct(stats, "stats");
    const auto observer = lpc::find_session(session_id);
    const size_t count = (stats->struct_bytes - lpc::capi::kCountersBegin) / sizeof(uint64_t);
    for (size_t i = 0; i < count; ++i) {
      const lpc::capi::SessionCounter& counter = lpc::capi::kSessionCounters[i];
      stats->*counter.field = observer->statistics.*counter.counted;
    }
  });
}
