// The layer store: weights of one file, decoded ahead of their use, by threads of its own.
//
// During a pass the computing thread acquires and releases each part of the schedule once; the store's workers fetch
// and decode whatever comes next: into memory that stays, or into a bounded ring as long as it has room, across the
// end of a pass into the next one. One pass runs at a time; others wait.
//
// Order is a hint, not a promise: a part asked for while the ring is full of parts that nobody has asked for yet is
// decoded at once into memory of its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fork.h"
#include "store/ring.h"
#include "store/schedule.h"

namespace lpc {

// True: whoever began the pass does not want it any more.
using CancelFlag = std::atomic<bool>;

class LayerStore {
 public:
  explicit LayerStore(unsigned threads) : thread_count_(threads) {}
  ~LayerStore();
  LayerStore(const LayerStore&) = delete;
  LayerStore& operator=(const LayerStore&) = delete;

  // The schedule to use: an equal one of another session if there is one, so that its memory is shared.
  std::shared_ptr<Schedule> share(std::shared_ptr<Schedule> schedule);

  // False in a child of fork: the store's threads are not there and its lock may be held for ever. It can be used no
  // more, nor be destroyed; retire does nothing.
  bool is_of_this_process() const { return process_number() == made_in_; }
  // Throws LPC_WRONG_PROCESS there; begin_pass does.
  void require_this_process() const;

  // Waits until no pass is running, then begins one. Any thread may end it. `observer` is told until the next pass.
  // Soon after `cancel` (may be null) becomes true this and acquire throw LPC_CANCELLED instead of waiting.
  void begin_pass(const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
                  const std::shared_ptr<const CancelFlag>& cancel = nullptr);
  // What the pass did not use is forgotten.
  void end_pass();

  // The bytes of part `index` of the running pass's schedule; waits for them. Rethrows what reading it threw.
  // Valid until release(index).
  const uint8_t* acquire(size_t index);
  void release(size_t index);

  // Lets go of the schedule if nobody but the caller has it; called before a session goes away.
  void retire(std::shared_ptr<Schedule>&& schedule);

 private:
  struct Job {
    size_t slot = 0;
    size_t segment = 0;  // of the part
    uint64_t turn = 0;   // of a recoded part: when its segment is placed
  };
  using Lock = std::unique_lock<std::mutex>;

  template <typename Condition>
  void wait_unless_cancelled(Lock& lock, std::condition_variable& changed, const CancelFlag* cancel,
                             Condition&& condition);
  void leave_pass();
  void switch_schedule(Lock& lock, const std::shared_ptr<Schedule>& schedule);
  void forget_everything(Lock& lock);
  void start_workers();
  void work(size_t worker);
  bool next_job(Job& job);
  bool open_next_slot();
  void advance();
  bool find_room(size_t index);
  void run_job(Lock& lock, const Job& job, ReadBuffers& buffers);
  static void fill_segment(const Part& part, const Slot& slot, size_t segment, ReadBuffers& buffers,
                           Observer& observer);
  void recode_segment(const Job& job, ReadBuffers& buffers, Observer& observer);
  uint8_t* take_place(const Job& job, size_t index, uint64_t bytes, Encoding encoding);
  void rewind_recoded();
  void finish_slot(size_t index);
  void fill_now(Lock& lock, size_t index);
  bool ring_is_stuck() const { return blocked_ && acquired_ == 0 && !helping_; }

  const unsigned thread_count_;
  const uint64_t made_in_ = process_number();
  std::mutex mutex_;
  std::condition_variable work_available_;
  std::condition_variable slot_changed_;
  std::condition_variable pass_ended_;
  std::condition_variable turn_changed_;

  std::vector<std::weak_ptr<Schedule>> known_;
  std::shared_ptr<Schedule> schedule_;
  std::shared_ptr<Observer> observer_;
  std::shared_ptr<const CancelFlag> cancel_;
  Ring ring_;
  std::vector<ReadBuffers> buffers_;  // one a worker, one more for fill_now
  std::vector<std::thread> workers_;

  bool pass_running_ = false;  // or somebody has the store to himself for another reason
  bool stopping_ = false;
  bool blocked_ = false;                 // the next part found no room in the ring
  bool helping_ = false;                 // a computing thread is in fill_now, whose buffers are one set
  std::atomic<bool> forgetting_{false};  // workers take no new job and need not finish the one they have
  uint64_t pass_ = 0;                    // number of the running pass, or of the last one
  uint64_t next_pass_ = 0;               // of the next part to be filled
  size_t next_slot_ = 0;
  size_t filling_slot_ = SIZE_MAX;  // with segments not yet handed out
  size_t jobs_running_ = 0;
  uint64_t next_turn_ = 0;  // of the next segment to be recoded
  uint64_t turn_ = 0;       // whose segment is placed next
  size_t acquired_ = 0;
};

}  // namespace lpc
