// The layer store: the weights of one file, brought into memory ahead of their use by threads of its own.
//
// The unit is a blob. A layer is a list of blobs, and a pass names those that it wants: all of them in the schedule's
// order if it names none; some; more of them while it goes on, as a router chooses experts. What has to be wanted by
// itself, such as the leading bits of weights beside the rest, is a blob of its own. Blobs that a pass does not want
// are not read, and what is in memory of them stays.
//
// Workers bring the parts of wanted blobs, decoded or however they are wanted, into memory that stays or into a bounded
// ring as long as it has room; then, across the end of the pass, what it wanted at its beginning for the next one. The
// computing thread acquires and releases them, in whatever order. One that it waits for comes next, named or not. It
// gets memory of its own if the ring is full of parts that are wanted and that nobody has asked for yet.
//
// One pass runs at a time; others wait.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "base/fork.h"
#include "store/cancel.h"
#include "store/prefetcher.h"
#include "store/schedule.h"
#include "store/workers.h"

namespace lpc {

class LayerStore {
 public:
  explicit LayerStore(unsigned threads, WeightAllocator& allocator = mapped_weights());
  LayerStore(const LayerStore&) = delete;
  LayerStore& operator=(const LayerStore&) = delete;

  // The schedule to use: an equal one of another session if there is one, so that its memory is shared.
  std::shared_ptr<Schedule> share(std::shared_ptr<Schedule> schedule);

  // False in a child of fork: the store's threads are not there and its lock may be held for ever. It can be used no
  // more, nor be destroyed; retire does nothing.
  bool is_of_this_process() const { return process_number() == made_in_; }
  // Throws LPC_WRONG_PROCESS there; begin_pass does.
  void require_this_process() const;

  // Waits until no pass is running, then begins one that wants every blob. Any thread may end it. `observer` is told
  // until the next pass. Soon after `cancel` (may be null) becomes true this and acquire throw LPC_CANCELLED instead of
  // waiting.
  void begin_pass(const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
                  const std::shared_ptr<const CancelFlag>& cancel = nullptr);
  // The same for one that wants these blobs of the schedule, in this order. Throws LPC_INVALID_ARGUMENT for a blob that
  // it does not have.
  void begin_pass(const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
                  const std::shared_ptr<const CancelFlag>& cancel, std::span<const size_t> wanted);
  // The running pass wants these too, after all that it named before; what it has named already changes nothing.
  void want(std::span<const size_t> blobs);
  // If the pass did not use all that it wanted, what was brought for it and does not stay is forgotten.
  void end_pass();

  // The bytes of part `index` of the running pass's schedule; waits for them. Rethrows what bringing it threw.
  // Valid until release(index). A thread that waits for a part of the ring should hold no other one: the ring may be
  // too small for both.
  const uint8_t* acquire(size_t index);
  void release(size_t index);

  // Lets go of the schedule if nobody but the caller has it; called before a session goes away.
  void retire(std::shared_ptr<Schedule>&& schedule);

 private:
  using Lock = Workers::Lock;

  void leave_pass(Lock& lock);
  void serve(Lock& lock, const std::shared_ptr<Schedule>& schedule);
  void forget(Lock& lock);
  bool work(Lock& lock, ReadBuffers& buffers);
  void count_part(const Part& part, Observer& observer) const;

  WeightAllocator& allocator_;
  const uint64_t made_in_ = process_number();
  Turns passes_;  // whoever has the turn runs a pass, or has the store to himself for another reason
  std::mutex mutex_;
  std::condition_variable part_changed_;
  std::vector<std::weak_ptr<Schedule>> known_;
  Prefetcher prefetcher_;
  std::shared_ptr<Observer> observer_;
  Cancellation cancellation_;
  Workers workers_;
};

}  // namespace lpc
