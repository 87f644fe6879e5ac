#include "store/read_trial.h"

#include <algorithm>

namespace lpc {
namespace {

constexpr uint64_t kLeastBytes = 256 << 10;  // shorter reads tell about latency alone
constexpr double kWorthwhile = 1.25;

template <size_t kCount>
double median(std::array<double, kCount> values) {
  std::nth_element(values.begin(), values.begin() + kCount / 2, values.end());
  return values[kCount / 2];
}

}  // namespace

void ReadTrial::Seen::add(double value) {
  const size_t in_phase = reads % kReads;
  if (in_phase >= kIgnored) bytes_per_ns[reads / kReads][in_phase - kIgnored] = value;
  ++reads;
}

double ReadTrial::Seen::slower() const { return std::min(median(bytes_per_ns[0]), median(bytes_per_ns[1])); }
double ReadTrial::Seen::faster() const { return std::max(median(bytes_per_ns[0]), median(bytes_per_ns[1])); }

ReadMode ReadTrial::next(uint64_t bytes) {
  const ReadMode decided = decision();
  if (decided != ReadMode::kAuto) return decided;
  if (bytes < kLeastBytes) return ReadMode::kDirect;
  const std::lock_guard lock(mutex_);
  return begun_++ / kReads % 2 == 0 ? ReadMode::kDirect : ReadMode::kBuffered;
}

void ReadTrial::add(ReadMode mode, uint64_t bytes, std::chrono::nanoseconds duration) {
  if (bytes < kLeastBytes) return;
  const std::lock_guard lock(mutex_);
  Seen& one = mode == ReadMode::kDirect ? direct_ : buffered_;
  if (decision() != ReadMode::kAuto || one.is_full()) return;
  one.add(static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(duration.count(), 1)));
  if (!direct_.is_full() || !buffered_.is_full()) return;
  decision_ = buffered_.slower() > direct_.faster() * kWorthwhile ? ReadMode::kBuffered : ReadMode::kDirect;
}

uint64_t ReadTrial::rate(ReadMode mode) const {
  const std::lock_guard lock(mutex_);
  return seen(mode).is_full() ? static_cast<uint64_t>(seen(mode).faster() * 1e9) : 0;
}

}  // namespace lpc
