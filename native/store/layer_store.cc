#include "store/layer_store.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <system_error>

#include "base/error.h"
#include "codecs/layout.h"

namespace lpc {
namespace {

constexpr std::chrono::milliseconds kLookUp{20};  // how often a waiting thread looks whether it is still wanted

}  // namespace

LayerStore::~LayerStore() {
  forgetting_ = true;
  {
    Lock lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void LayerStore::require_this_process() const {
  if (is_of_this_process()) return;
  throw Error(
      LPC_WRONG_PROCESS,
      "a model cannot be used after fork: this process is a child, and the threads of the model that its parent "
      "loaded are not here; load the model again in this process");
}

std::shared_ptr<Schedule> LayerStore::share(std::shared_ptr<Schedule> schedule) {
  const Lock lock(mutex_);
  std::erase_if(known_, [](const auto& known) { return known.expired(); });
  for (const auto& known : known_) {
    if (auto other = known.lock(); other != nullptr && other->equals(*schedule)) return other;
  }
  schedule->allocate();
  known_.push_back(schedule);
  return schedule;
}

// A cancelling thread has only the flag, so the waiting one looks at it from time to time.
template <typename Condition>
void LayerStore::wait_unless_cancelled(Lock& lock, std::condition_variable& changed, const CancelFlag* cancel,
                                       Condition&& condition) {
  while (!changed.wait_for(lock, kLookUp, condition)) {
    if (cancel != nullptr && cancel->load()) throw Error(LPC_CANCELLED, "the run was cancelled");
  }
}

void LayerStore::begin_pass(const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
                            const std::shared_ptr<const CancelFlag>& cancel) {
  require_this_process();
  Lock lock(mutex_);
  wait_unless_cancelled(lock, pass_ended_, cancel.get(), [&] { return !pass_running_; });
  pass_running_ = true;  // before switching, which lets go of the lock for a while
  try {
    if (schedule_ != schedule) switch_schedule(lock, schedule);
  } catch (...) {
    leave_pass();
    throw;
  }
  observer_ = observer;
  cancel_ = cancel;
  observer->cancel = cancel.get();
  observer->statistics.ring_bytes = ring_.capacity();
  observer->statistics.pinned_bytes = schedule->pinned_bytes();
  ++pass_;
  work_available_.notify_all();
}

void LayerStore::leave_pass() {
  pass_running_ = false;
  if (observer_ != nullptr) observer_->cancel = nullptr;
  cancel_ = nullptr;
  pass_ended_.notify_one();
}

void LayerStore::end_pass() {
  Lock lock(mutex_);
  const auto& slots = schedule_->slots;
  const bool complete =
      std::all_of(slots.begin(), slots.end(), [&](const Slot& slot) { return slot.pass == pass_ + 1; });
  if (!complete) forget_everything(lock);
  leave_pass();
}

void LayerStore::retire(std::shared_ptr<Schedule>&& schedule) {
  if (!is_of_this_process()) return;
  Lock lock(mutex_);
  pass_ended_.wait(lock, [&] { return !pass_running_; });
  pass_running_ = true;
  const bool last_user = schedule_ == schedule && schedule.use_count() == 2;
  schedule.reset();
  if (last_user) {
    forget_everything(lock);
    schedule_.reset();
    observer_.reset();
    ring_.resize(0, 0);
  }
  leave_pass();
}

void LayerStore::switch_schedule(Lock& lock, const std::shared_ptr<Schedule>& schedule) {
  if (schedule_ != nullptr) forget_everything(lock);
  schedule_ = nullptr;  // stays so if memory runs out below
  ring_.resize(schedule->ring_bytes(), schedule->part_count());
  buffers_.resize(thread_count_ + 1);
  for (ReadBuffers& buffers : buffers_) {
    buffers.give_up = &forgetting_;
    for (size_t i = 0; i < schedule->part_count(); ++i) {
      const Part& part = schedule->part(i);
      part.recoded != nullptr ? part.recoded->reserve(buffers) : part.blob->reserve(buffers);
    }
  }
  start_workers();  // before there is work: if it fails there must be none
  schedule_ = schedule;
  forget_everything(lock);
}

// What stays in memory stays; everything else is as before the first pass.
void LayerStore::forget_everything(Lock& lock) {
  forgetting_ = true;
  slot_changed_.wait(lock, [&] { return jobs_running_ == 0; });
  forgetting_ = false;
  ring_.clear();
  for (size_t i = 0; i < schedule_->part_count(); ++i) {
    Slot& slot = schedule_->slots[i];
    slot.pass = pass_ + 1;
    slot.own = {};
    slot.error = nullptr;
    const bool stays = !schedule_->part(i).uses_ring();
    const bool filled = slot.state == PartState::kReady || slot.state == PartState::kAcquired;
    slot.state = stays && filled ? PartState::kReady : PartState::kEmpty;
    if (!stays) slot.data = nullptr;
  }
  rewind_recoded();
  next_slot_ = 0;
  next_pass_ = pass_ + 1;
  filling_slot_ = SIZE_MAX;
  blocked_ = false;
  acquired_ = 0;
}

// Recoded parts that were not finished give their memory back.
void LayerStore::rewind_recoded() {
  GrowingMemory::Mark end;
  for (size_t i = 0; i < schedule_->part_count(); ++i) {
    const Slot& slot = schedule_->slots[i];
    if (schedule_->part(i).recoded != nullptr && slot.state == PartState::kReady) end = std::max(end, slot.end);
  }
  schedule_->recoded_memory().rewind(end);
}

void LayerStore::start_workers() {
  while (workers_.size() < thread_count_) {
    try {
      workers_.emplace_back([this, worker = workers_.size()] { work(worker); });
    } catch (const std::system_error& error) {
      if (!workers_.empty()) return;  // fewer do it too
      throw Error(LPC_OUT_OF_MEMORY, std::string("cannot start a thread that reads weights: ") + error.what());
    }
  }
}

void LayerStore::work(size_t worker) {
  Lock lock(mutex_);
  while (!stopping_) {
    Job job;
    if (next_job(job)) {
      run_job(lock, job, buffers_[worker]);
    } else {
      work_available_.wait(lock);
    }
  }
}

bool LayerStore::next_job(Job& job) {
  if (forgetting_ || schedule_ == nullptr || schedule_->part_count() == 0) return false;
  if (filling_slot_ == SIZE_MAX && !open_next_slot()) return false;
  Slot& slot = schedule_->slots[filling_slot_];
  job = {filling_slot_, slot.segments_begun++, 0};
  if (schedule_->part(filling_slot_).recoded != nullptr) job.turn = next_turn_++;
  if (slot.segments_begun == schedule_->part(filling_slot_).segment_count) filling_slot_ = SIZE_MAX;
  return true;
}

void LayerStore::advance() {
  if (++next_slot_ < schedule_->part_count()) return;
  next_slot_ = 0;
  ++next_pass_;
}

// Begins the next part in order that is not in memory. False when there is none to begin now.
bool LayerStore::open_next_slot() {
  for (size_t looked_at = 0; looked_at <= 2 * schedule_->part_count(); ++looked_at) {
    const size_t index = next_slot_;
    Slot& slot = schedule_->slots[index];
    const bool stays = !schedule_->part(index).uses_ring();
    if (slot.pass > next_pass_ || (stays && slot.state != PartState::kEmpty)) {
      advance();  // decoded out of turn already, or for good
      continue;
    }
    if (slot.pass < next_pass_ || slot.state != PartState::kEmpty) return false;  // a whole pass ahead
    if (!stays && !find_room(index)) return false;
    slot.state = PartState::kFilling;
    slot.segments_begun = slot.segments_done = slot.segments_placed = 0;
    slot.placed_bytes = 0;
    slot.error = nullptr;
    advance();
    if (schedule_->part(index).segment_count > 0) {
      filling_slot_ = index;
      return true;
    }
    finish_slot(index);
  }
  return false;  // everything is in memory
}

bool LayerStore::find_room(size_t index) {
  Slot& slot = schedule_->slots[index];
  slot.data = ring_.allocate(std::max<uint64_t>(schedule_->part(index).bytes(), 1));
  blocked_ = slot.data == nullptr;
  if (blocked_) slot_changed_.notify_all();  // a waiting consumer may have to help itself
  return !blocked_;
}

void LayerStore::run_job(Lock& lock, const Job& job, ReadBuffers& buffers) {
  Slot& slot = schedule_->slots[job.slot];
  const Part& part = schedule_->part(job.slot);
  const std::shared_ptr<Observer> observer = observer_;
  ++jobs_running_;
  lock.unlock();
  std::exception_ptr error;
  try {
    if (part.recoded != nullptr) {
      recode_segment(job, buffers, *observer);
    } else {
      fill_segment(part, slot, job.segment, buffers, *observer);
    }
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  --jobs_running_;
  if (error != nullptr && slot.error == nullptr) slot.error = error;
  if (++slot.segments_done == part.segment_count) finish_slot(job.slot);
  if (forgetting_) slot_changed_.notify_all();
}

void LayerStore::fill_segment(const Part& part, const Slot& slot, size_t segment, ReadBuffers& buffers,
                              Observer& observer) {
  const BlobHeader& header = part.blob->header();
  const size_t index = part.first_segment + segment;
  const Segment& stored = header.segments[index];
  const uint64_t place = stored.offset - header.segments[part.first_segment].offset;
  if (part.as_stored) {
    std::memcpy(slot.data + place, part.blob->fetch(index, buffers, observer).data(), stored.bytes);
    return;
  }
  const uint64_t first_row = header.segment_first_row(index) - part.first_row;
  const MutableBytes out(slot.data + first_row * header.row_bytes, header.segment_decoded_bytes(index));
  if (part.residence != Residence::kResident) {
    part.blob->decode(index, part.blob->fetch(index, buffers, observer), out, buffers, observer);
    return;
  }
  uint8_t* kept = slot.kept + place;
  if (!slot.kept_is_full) {
    std::memcpy(kept, part.blob->fetch(index, buffers, observer).data(), stored.bytes);
  }
  part.blob->decode(index, Bytes(kept, stored.bytes), out, buffers, observer);
}

// Segments are encoded at the same time and placed one after the other, in the order in which they were handed out: so
// a thread waits only for those that began earlier.
void LayerStore::recode_segment(const Job& job, ReadBuffers& buffers, Observer& observer) {
  const auto begin = Clock::now();
  const Part& part = schedule_->part(job.slot);
  const size_t index = part.first_segment + job.segment;
  Encoding encoding = Encoding::kRaw;
  Bytes bytes;
  std::exception_ptr error;
  try {
    bytes = part.recoded->encode(index, buffers, observer, encoding);
  } catch (...) {
    error = std::current_exception();
  }
  uint8_t* place = nullptr;
  {
    Lock lock(mutex_);
    turn_changed_.wait(lock, [&] { return turn_ == job.turn; });
    ++turn_;
    turn_changed_.notify_all();
    if (error != nullptr) std::rethrow_exception(error);
    if (schedule_->slots[job.slot].segments_placed != job.segment)
      return;  // one before it failed, and so will the part
    place = take_place(job, index, bytes.size(), encoding);
    observer.note_transcoded(part.blob->header().segments[index].bytes, bytes.size(), begin);
  }
  std::memcpy(place, bytes.data(), bytes.size());
}

// The place of a segment of a recoded part: behind the one before it.
uint8_t* LayerStore::take_place(const Job& job, size_t index, uint64_t bytes, Encoding encoding) {
  Slot& slot = schedule_->slots[job.slot];
  const Part& part = schedule_->part(job.slot);
  GrowingMemory& memory = schedule_->recoded_memory();
  if (job.segment == 0) slot.data = memory.open(part.recoded_bytes_bound());
  uint8_t* place = slot.data + slot.placed_bytes;
  part.recoded->place(index, slot.placed_bytes, bytes, encoding);
  const uint64_t used = align_up(bytes, kSegmentAlignment);
  slot.placed_bytes += used;
  ++slot.segments_placed;
  memory.use(used);
  slot.end = memory.mark();
  return place;
}

void LayerStore::finish_slot(size_t index) {
  Slot& slot = schedule_->slots[index];
  const Part& part = schedule_->part(index);
  slot.state = slot.error == nullptr ? PartState::kReady : PartState::kFailed;
  if (slot.error == nullptr) {
    slot.kept_is_full = true;
    if (part.recoded != nullptr) observer_->statistics.pinned_bytes = schedule_->pinned_bytes();
    // Parts come in order, but for the rare one decoded out of turn: then the count is of the last part's end.
    if (part.last_of_blob) observer_->statistics.blobs_decompressed += 1;
    if (part.last_of_layer) observer_->statistics.layers_decompressed += 1;
  }
  slot_changed_.notify_all();
}

const uint8_t* LayerStore::acquire(size_t index) {
  const auto begin = Clock::now();
  Lock lock(mutex_);
  Slot& slot = schedule_->slots[index];
  const Part& part = schedule_->part(index);
  if (slot.pass != pass_ || slot.state == PartState::kAcquired) {
    throw Error(LPC_INTERNAL, "tensor " + part.blob->tensor() + ": used twice in one pass");
  }
  observer_->statistics.layer = static_cast<uint64_t>(part.blob->layer());
  wait_unless_cancelled(lock, slot_changed_, cancel_.get(), [&] {
    return slot.state == PartState::kReady || slot.state == PartState::kFailed ||
           (slot.state == PartState::kEmpty && part.uses_ring() && ring_is_stuck());
  });
  if (slot.state == PartState::kEmpty) fill_now(lock, index);
  observer_->record(observer_->statistics.wait_ns, "wait", part.blob->layer(), begin);
  if (slot.state == PartState::kFailed) std::rethrow_exception(slot.error);
  slot.state = PartState::kAcquired;
  ++acquired_;
  return slot.data;
}

// The computing thread decodes a part by itself, into memory outside the ring.
void LayerStore::fill_now(Lock& lock, size_t index) {
  Slot& slot = schedule_->slots[index];
  const Part& part = schedule_->part(index);
  slot.own.resize(std::max<uint64_t>(part.bytes(), 1));
  slot.data = slot.own.data();
  slot.state = PartState::kFilling;
  slot.segments_begun = part.segment_count;
  slot.segments_done = 0;
  slot.error = nullptr;
  helping_ = true;
  for (size_t i = 0; i < part.segment_count; ++i) run_job(lock, {index, i}, buffers_[thread_count_]);
  helping_ = false;
  if (part.segment_count == 0) finish_slot(index);
}

void LayerStore::release(size_t index) {
  {
    const Lock lock(mutex_);
    Slot& slot = schedule_->slots[index];
    ++slot.pass;
    --acquired_;
    if (!schedule_->part(index).uses_ring()) {
      slot.state = PartState::kReady;
      return;
    }
    if (slot.own.empty()) {
      ring_.release(slot.data);
    } else {
      slot.own = {};
    }
    slot.data = nullptr;
    slot.state = PartState::kEmpty;
    blocked_ = false;  // a worker looks again and says so if there is still no room
  }
  work_available_.notify_all();
}

}  // namespace lpc
