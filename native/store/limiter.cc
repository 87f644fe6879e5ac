#include "store/limiter.h"

#include <algorithm>
#include <thread>

namespace lpc {

void RateLimiter::take(uint64_t bytes) {
  if (bytes_per_s_ == 0) return;
  const auto duration = std::chrono::nanoseconds(
      static_cast<int64_t>(static_cast<double>(bytes) / static_cast<double>(bytes_per_s_) * 1e9));
  std::chrono::steady_clock::time_point done;
  {
    const std::lock_guard lock(mutex_);
    free_at_ = std::max(free_at_, std::chrono::steady_clock::now()) + duration;
    done = free_at_;
  }
  std::this_thread::sleep_until(done);
}

}  // namespace lpc
