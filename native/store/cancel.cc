#include "store/cancel.h"

#include "base/error.h"

namespace lpc {

void Cancellation::throw_cancelled() { throw Error(LPC_CANCELLED, "the run was cancelled"); }

bool Turns::take(const CancelFlag* cancel) {
  std::unique_lock lock(mutex_);
  if (!wait_unless(cancel, lock, free_, [&] { return !taken_; })) return false;
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
