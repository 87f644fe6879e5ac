// Limits a rate exactly: imitates a slower bus.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace lpc {

// A token bucket without a burst: `bytes` taken now occupy the bus for bytes / rate seconds after all taken before.
class RateLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: no limit.
  explicit RateLimiter(uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s) {}

  // When the bus will have delivered `bytes` asked for at `now`: never `now` itself, however short. What remains of a
  // nanosecond is carried over, so that many small reads take as long as one large one. Any thread.
  Clock::time_point reserve(uint64_t bytes, Clock::time_point now);

  // Reserves, and returns at that time; or earlier, false, soon after `give_up` (may be null) has become true.
  bool take(uint64_t bytes, const std::atomic<bool>* give_up = nullptr);

 private:
  const uint64_t bytes_per_s_;
  std::mutex mutex_;
  Clock::time_point free_at_{};
  uint64_t remainder_ = 0;  // of a nanosecond, in units of 1 / bytes_per_s_
};

}  // namespace lpc
