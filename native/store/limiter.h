// Limits a rate exactly: imitates a slower bus.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>

namespace lpc {

// A token bucket without a burst: `bytes` taken now occupy the bus for bytes / rate seconds after all taken before.
class RateLimiter {
 public:
  // 0: no limit.
  explicit RateLimiter(uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s) {}

  // Returns when the bus would have delivered the bytes. Any thread.
  void take(uint64_t bytes);

 private:
  const uint64_t bytes_per_s_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point free_at_{};
};

}  // namespace lpc
