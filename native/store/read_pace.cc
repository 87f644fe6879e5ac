#include "store/read_pace.h"

#include <algorithm>

namespace lpc {
namespace {

constexpr uint64_t kMostBytes = uint64_t{64} << 20;  // more than any segment
constexpr uint64_t kStepBytes = 16384;               // by which calls become longer again that were too long once
constexpr std::chrono::milliseconds kLookUp{20};     // how long a wait goes on that nobody wants any more

}  // namespace

void ReadPace::add(uint64_t bytes, std::chrono::nanoseconds duration) {
  const uint64_t limit = this->bytes();
  if (duration > kLongest) {
    const double share = std::chrono::duration<double>(kLongest) / duration;
    const auto fitting = static_cast<uint64_t>(static_cast<double>(bytes) * share);
    const uint64_t pages = std::max<uint64_t>(fitting / kLeastBytes, 1);
    bytes_.store(std::min(limit, pages * kLeastBytes), std::memory_order_relaxed);
    was_slow_.store(true, std::memory_order_relaxed);
  } else if (bytes >= limit && duration < kLongest / 2 && limit < kMostBytes) {
    // Only a whole call tells that a longer one would be short.
    const uint64_t more = was_slow_.load(std::memory_order_relaxed) ? std::min(limit, kStepBytes) : limit;
    bytes_.store(limit + more, std::memory_order_relaxed);
  }
}

bool Turns::take(const std::atomic<bool>* give_up) {
  std::unique_lock lock(mutex_);
  while (!free_.wait_for(lock, kLookUp, [&] { return !taken_; })) {
    if (give_up != nullptr && give_up->load()) return false;
  }
  taken_ = true;
  return true;
}

void Turns::leave() {
  {
    const std::lock_guard lock(mutex_);
    taken_ = false;
  }
  free_.notify_one();
}

}  // namespace lpc
