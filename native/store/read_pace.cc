#include "store/read_pace.h"

#include <algorithm>

namespace lpc {
namespace {

constexpr uint64_t kMostBytes = uint64_t{64} << 20;  // more than any segment
constexpr uint64_t kStepBytes = 16384;               // by which calls become longer again that were too long once

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

}  // namespace lpc
