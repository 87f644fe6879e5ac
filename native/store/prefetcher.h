// What of a schedule is in memory, what a pass wants of it, and so what is brought next and where it goes. Knows
// neither threads nor locks: the layer store holds its lock around every call. No call allocates, unless it says so.
#pragma once

#include "store/fill.h"
#include "store/ring.h"
#include "store/schedule.h"

namespace lpc {

class Prefetcher {
 public:
  explicit Prefetcher(WeightAllocator& allocator) : allocator_(allocator), ring_(allocator) {}

  // Serves another schedule, or none; no job may be running. Allocates. Throws LPC_OUT_OF_MEMORY, and serves none then.
  void serve(std::shared_ptr<Schedule> schedule);
  const std::shared_ptr<Schedule>& schedule() const { return schedule_; }
  size_t ring_bytes() const { return ring_.capacity(); }

  // Begins a pass that wants these blobs, in this order. What lies in the ring stays for this pass, or for a later one
  // as long as there is room.
  void begin(std::span<const size_t> blobs);
  // The pass wants these too, after what it wants already.
  void want(std::span<const size_t> blobs);
  // Whether bringing one of them failed before the pass: then everything is to be forgotten first.
  bool has_failed(std::span<const size_t> blobs) const;
  // Ends the pass. False if it has not used all that it wanted: then everything is to be forgotten.
  bool end();
  // Forgets all that does not stay in memory, and what is wanted; no job may be running.
  void forget();

  // The next segment to bring; false when there is none now. What is asked for comes first, then what the pass wants,
  // then what it wanted first once more, for the next pass.
  bool next(Job& job);
  // A job has ended. True if its part is there now, or has failed.
  bool finish(const Job& job, const std::exception_ptr& error);

  // Somebody waits for a part until it has come; it comes next. True if that is news to the workers.
  bool ask(size_t part);
  bool has_come(size_t part) const;
  // The ring has no room for the part and nobody will make any.
  bool is_stuck(size_t part) const;
  bool is_blocked() const { return blocked_; }
  // Gives the part memory of its own. Allocates. Throws LPC_OUT_OF_MEMORY.
  void take_outside_ring(size_t part);

  // A part that has come. Rethrows what bringing it threw.
  const uint8_t* take(size_t part);
  // True if there may be room for others now.
  bool give_back(size_t part);

 private:
  static constexpr size_t kNone = SIZE_MAX;

  Slot& slot(size_t part) const { return schedule_->slots[part]; }
  void want_blob(size_t blob);
  bool open_next();
  bool open_asked();
  void pass_over_brought();
  bool open_ahead();
  bool open(size_t part, bool may_evict);
  bool find_room(size_t part, bool may_evict);
  bool may_go(const Slot& slot) const;
  void leave_ring(size_t part);

  WeightAllocator& allocator_;
  std::shared_ptr<Schedule> schedule_;
  Ring ring_;
  uint64_t pass_ = 0;           // number of the running pass, or of the last one
  std::vector<size_t> wanted_;  // parts, in the order in which they are brought
  size_t wanted_first_ = 0;     // so many of them were named when the pass began
  size_t next_ = 0;             // in wanted_: what is brought next for this pass
  size_t ahead_ = 0;            // and for the next pass
  bool running_ = false;
  bool saw_error_ = false;     // somebody got the error of a part
  std::vector<size_t> asked_;  // parts that somebody waits for
  size_t filling_ = kNone;     // the part with segments not yet handed out
  bool blocked_ = false;       // a part that was asked for found no room
  size_t taken_ = 0;           // parts of the ring that are in use
};

}  // namespace lpc
