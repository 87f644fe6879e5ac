// What the store and the provider did for one session; read by lpc_get_session_stats while running.
#pragma once

#include <atomic>
#include <cstdint>

namespace lpc {

struct Statistics {
  std::atomic<uint64_t> nodes_claimed{0};
  std::atomic<uint64_t> nodes_unclaimed{0};
  std::atomic<uint64_t> runs{0};
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> bytes_decoded{0};
  std::atomic<uint64_t> blobs_decompressed{0};
  std::atomic<uint64_t> layers_decompressed{0};
  std::atomic<uint64_t> rows_fetched{0};
  std::atomic<uint64_t> wait_ns{0};
  std::atomic<uint64_t> pool_bytes{0};
};

}  // namespace lpc
