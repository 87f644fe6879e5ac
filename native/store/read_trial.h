// Which of two ways to read a file is faster here, found out by reads that are wanted anyway.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace lpc {

enum class ReadMode { kAuto, kDirect, kBuffered };  // kAuto: not decided yet

class ReadTrial {
 public:
  // `fixed` kDirect or kBuffered: decided from the start.
  explicit ReadTrial(ReadMode fixed) : decision_(fixed) {}

  // kAuto while the trial goes on. Any thread, like all of this.
  ReadMode decision() const { return decision_.load(std::memory_order_relaxed); }

  // Ends the trial: there is no choice.
  void decide(ReadMode mode) { decision_ = mode; }

  // The mode of the next read: in turn as long as nothing is decided.
  ReadMode next();

  // Tells how long a read of `bytes` bytes took. Decides when both modes have been seen often enough: for direct reads,
  // which cost less processor time and leave the page cache alone, unless buffered ones are faster by a tenth.
  void add(ReadMode mode, uint64_t bytes, std::chrono::nanoseconds duration);

  // Bytes a second of one read at a time, of what the trial saw; 0 before it saw anything.
  uint64_t rate(ReadMode mode) const;

 private:
  struct Seen {
    size_t reads = 0;
    uint64_t bytes = 0;
    uint64_t nanoseconds = 0;
  };
  const Seen& seen(ReadMode mode) const { return mode == ReadMode::kDirect ? direct_ : buffered_; }

  mutable std::mutex mutex_;
  std::atomic<ReadMode> decision_;
  bool direct_is_next_ = true;
  Seen direct_;
  Seen buffered_;
};

}  // namespace lpc
