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

// Phases of direct and buffered reads take turns, twice: not read by read, because several are in flight and each mode
// must meet only its own kind; and twice, because a disk may be slow at first whoever reads. Any thread, all of this.
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

  // Tells how long a read took. The last one decides: for direct reads, which cost less processor time and leave the
  // page cache alone, unless the slower phase of buffered ones beats the faster one of direct ones by a quarter.
  void add(ReadMode mode, uint64_t bytes, std::chrono::nanoseconds duration);

  // Bytes a second of one read among those in flight, median of the mode's faster phase; 0 before the end.
  uint64_t rate(ReadMode mode) const;

 private:
  static constexpr size_t kPhases = 2;   // of a mode
  static constexpr size_t kIgnored = 5;  // first reads of a phase: some of the other mode may still be in flight
  static constexpr size_t kCounted = 7;
  static constexpr size_t kReads = kIgnored + kCounted;  // of a phase

  struct Seen {
    size_t reads = 0;
    std::array<std::array<double, kCounted>, kPhases> bytes_per_ns{};

    bool is_full() const { return reads == kPhases * kReads; }
    void add(double value);
    double slower() const;
    double faster() const;
  };
  const Seen& seen(ReadMode mode) const { return mode == ReadMode::kDirect ? direct_ : buffered_; }

  mutable std::mutex mutex_;
  std::atomic<ReadMode> decision_;
  size_t begun_ = 0;
  Seen direct_;
  Seen buffered_;
};

}  // namespace lpc
