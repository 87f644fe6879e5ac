#include "store/limiter.h"

#include <algorithm>
#include <thread>

#include "store/cancel.h"

namespace lpc {
namespace {

constexpr uint64_t kNanoseconds = 1'000'000'000;

}  // namespace

RateLimiter::Clock::time_point RateLimiter::reserve(uint64_t bytes, Clock::time_point now) {
  if (bytes_per_s_ == 0) return now;
  const std::lock_guard lock(mutex_);
  if (free_at_ < now) {
    free_at_ = now;
    remainder_ = 0;
  }
  // Whole seconds apart: what is left times a billion fits 64 bits up to 18 GB at once.
  const uint64_t rest = (bytes % bytes_per_s_) * kNanoseconds + remainder_;
  remainder_ = rest % bytes_per_s_;
  free_at_ += std::chrono::seconds(bytes / bytes_per_s_) + std::chrono::nanoseconds(rest / bytes_per_s_);
  return free_at_;
}

bool RateLimiter::take(uint64_t bytes, const std::atomic<bool>* give_up) {
  if (bytes_per_s_ == 0) return true;
  const auto done = reserve(bytes, Clock::now());
  for (auto now = Clock::now(); now < done; now = Clock::now()) {
    if (give_up != nullptr && give_up->load()) return false;
    std::this_thread::sleep_until(give_up == nullptr ? done : std::min(done, now + kLookUp));
  }
  return true;
}

}  // namespace lpc
