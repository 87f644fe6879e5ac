// How much to read in one call, so that no call lasts long: a call cannot be interrupted. Found out from calls that are
// wanted anyway.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace lpc {

// Begins small, because nothing is known then, and doubles while calls are short: a device that is not slow is read in
// whole segments after ten calls or so. Any thread, all of this; a lost update costs nothing.
class ReadPace {
 public:
  static constexpr uint64_t kLeastBytes = 4096;  // a page: the least that a device is read by
  static constexpr std::chrono::milliseconds kLongest{100};

  // The most bytes of the next call; a multiple of kLeastBytes.
  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

  // Whether calls should be made one at a time: together they would last as long as all of them.
  bool takes_turns() const { return bytes() <= kTurnBytes; }

  // Tells how long a call took that asked for `bytes`.
  void add(uint64_t bytes, std::chrono::nanoseconds duration);

 private:
  static constexpr uint64_t kTurnBytes = uint64_t{1} << 20;

  std::atomic<uint64_t> bytes_{kLeastBytes};
  std::atomic<bool> was_slow_{false};
};

}  // namespace lpc
