#include "store/read_trial.h"

namespace lpc {
namespace {

constexpr size_t kReadsEach = 8;
constexpr uint64_t kLeastBytes = 256 << 10;  // shorter reads tell about latency alone
constexpr double kWorthwhile = 1.1;

double bytes_per_ns(uint64_t bytes, uint64_t nanoseconds) {
  return nanoseconds == 0 ? 0.0 : static_cast<double>(bytes) / static_cast<double>(nanoseconds);
}

}  // namespace

ReadMode ReadTrial::next() {
  const ReadMode decided = decision();
  if (decided != ReadMode::kAuto) return decided;
  const std::lock_guard lock(mutex_);
  direct_is_next_ = !direct_is_next_;
  return direct_is_next_ ? ReadMode::kBuffered : ReadMode::kDirect;
}

void ReadTrial::add(ReadMode mode, uint64_t bytes, std::chrono::nanoseconds duration) {
  if (bytes < kLeastBytes || decision() != ReadMode::kAuto) return;
  const std::lock_guard lock(mutex_);
  Seen& one = mode == ReadMode::kDirect ? direct_ : buffered_;
  one.reads += 1;
  one.bytes += bytes;
  one.nanoseconds += static_cast<uint64_t>(duration.count());
  if (direct_.reads < kReadsEach || buffered_.reads < kReadsEach) return;
  const double direct = bytes_per_ns(direct_.bytes, direct_.nanoseconds);
  const double buffered = bytes_per_ns(buffered_.bytes, buffered_.nanoseconds);
  decision_ = buffered > direct * kWorthwhile ? ReadMode::kBuffered : ReadMode::kDirect;
}

uint64_t ReadTrial::rate(ReadMode mode) const {
  const std::lock_guard lock(mutex_);
  return static_cast<uint64_t>(bytes_per_ns(seen(mode).bytes, seen(mode).nanoseconds) * 1e9);
}

}  // namespace lpc
