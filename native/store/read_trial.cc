#include "store/read_trial.h"

#include <algorithm>

namespace lpc {
namespace {

constexpr uint64_t kLeastBytes = 256 << 10;  // shorter reads tell about latency alone
constexpr double kWorthwhile = 1.25;

}  // namespace

double ReadTrial::Seen::median() const {
  auto sorted = bytes_per_ns;
  std::nth_element(sorted.begin(), sorted.begin() + kCounted / 2, sorted.end());
  return sorted[kCounted / 2];
}

ReadMode ReadTrial::next(uint64_t bytes) {
  const ReadMode decided = decision();
  if (decided != ReadMode::kAuto) return decided;
  if (bytes < kLeastBytes) return ReadMode::kDirect;
  const std::lock_guard lock(mutex_);
  return begun_++ < kIgnored + kCounted ? ReadMode::kDirect : ReadMode::kBuffered;
}

void ReadTrial::add(ReadMode mode, uint64_t bytes, std::chrono::nanoseconds duration) {
  if (bytes < kLeastBytes) return;
  const std::lock_guard lock(mutex_);
  Seen& one = mode == ReadMode::kDirect ? direct_ : buffered_;
  if (decision() != ReadMode::kAuto || one.is_full()) return;
  if (one.reads >= kIgnored) {
    const auto nanoseconds = static_cast<double>(std::max<int64_t>(duration.count(), 1));
    one.bytes_per_ns[one.reads - kIgnored] = static_cast<double>(bytes) / nanoseconds;
  }
  ++one.reads;
  if (!direct_.is_full() || !buffered_.is_full()) return;
  decision_ = buffered_.median() > direct_.median() * kWorthwhile ? ReadMode::kBuffered : ReadMode::kDirect;
}

uint64_t ReadTrial::rate(ReadMode mode) const {
  const std::lock_guard lock(mutex_);
  return seen(mode).is_full() ? static_cast<uint64_t>(seen(mode).median() * 1e9) : 0;
}

}  // namespace lpc
