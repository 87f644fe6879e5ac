// Which of two ways to read a file is faster here, found out by reads that are wanted anyway.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace lpc {

enum class ReadMode { kAuto, kDirect, kBuffered };  // kAuto: not decided yet

// First some direct reads, then as many buffered ones: not in turn, because several are in flight and each mode must
// meet only its own kind. Any thread, all of this.
class ReadTrial {
 public:
  // `fixed` kDirect or kBuffered: decided from the start.
  explicit ReadTrial(ReadMode fixed) : decision_(fixed) {}

  // kAuto while the trial goes on.
  ReadMode decision() const { return decision_.load(std::memory_order_relaxed); }

  // Ends the trial: there is no choice.
  void decide(ReadMode mode) { decision_ = mode; }

  // The mode of the next read of `bytes` bytes.
  ReadMode next(uint64_t bytes);

  // Tells how long a read took. The last one decides, by the medians: for direct reads, which cost less processor time
  // and leave the page cache alone, unless buffered ones are faster by a quarter.
  void add(ReadMode mode, uint64_t bytes, std::chrono::nanoseconds duration);

  // Bytes a second of one read among those in flight, median of the trial; 0 before its end.
  uint64_t rate(ReadMode mode) const;

 private:
  static constexpr size_t kCounted = 9;  // reads of a mode, the last ones
  static constexpr size_t kIgnored = 7;  // first ones of a mode: reads of the other may still be in flight

  struct Seen {
    size_t reads = 0;
    std::array<double, kCounted> bytes_per_ns{};

    bool is_full() const { return reads == kIgnored + kCounted; }
    double median() const;
  };
  const Seen& seen(ReadMode mode) const { return mode == ReadMode::kDirect ? direct_ : buffered_; }

  mutable std::mutex mutex_;
  std::atomic<ReadMode> decision_;
  size_t begun_ = 0;
  Seen direct_;
  Seen buffered_;
};

}  // namespace lpc
