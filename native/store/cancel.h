// Waiting for something that somebody may stop wanting. A cancelling thread has only a flag, so waiting ones look at it
// from time to time.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

namespace lpc {

// True: nobody wants it any more.
using CancelFlag = std::atomic<bool>;

inline constexpr std::chrono::milliseconds kLookUp{20};  // how long a wait goes on that nobody wants any more

// Waits until condition(), which is looked at when `changed` is notified; false without it soon after `cancel` (may be
// null) has become true.
template <typename Condition>
bool wait_unless(const CancelFlag* cancel, std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                 Condition&& condition) {
  while (!changed.wait_for(lock, kLookUp, condition)) {
    if (cancel != nullptr && cancel->load()) return false;
  }
  return true;
}

// Whether a pass is still wanted.
class Cancellation {
 public:
  Cancellation() = default;
  explicit Cancellation(std::shared_ptr<const CancelFlag> flag) : flag_(std::move(flag)) {}

  const CancelFlag* flag() const { return flag_.get(); }

  // Throws LPC_CANCELLED instead of waiting on.
  template <typename Condition>
  void wait_unless_cancelled(std::unique_lock<std::mutex>& lock, std::condition_variable& changed,
                             Condition&& condition) const {
    if (!wait_unless(flag(), lock, changed, condition)) throw_cancelled();
  }
  [[noreturn]] static void throw_cancelled();

 private:
  std::shared_ptr<const CancelFlag> flag_;
};

// One thread at a time.
class Turns {
 public:
  // Waits for the turn; false without it soon after `cancel` (may be null) has become true.
  bool take(const CancelFlag* cancel);
  void leave();

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;
};

}  // namespace lpc
