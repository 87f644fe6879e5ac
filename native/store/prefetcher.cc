#include "store/prefetcher.h"

#include <algorithm>

#include "base/error.h"

namespace lpc {

void Prefetcher::serve(std::shared_ptr<Schedule> schedule) {
  if (schedule_ != nullptr) forget();
  schedule_ = nullptr;  // stays so if memory runs out
  const size_t parts = schedule == nullptr ? 0 : schedule->part_count();
  // Twice: a part may come anew before the room of its last time is free.
  ring_.resize(schedule == nullptr ? 0 : schedule->ring_bytes(), 2 * parts);
  if (schedule == nullptr) return;
  wanted_.reserve(parts);
  asked_.reserve(parts);
  schedule_ = std::move(schedule);
}

void Prefetcher::begin(std::span<const size_t> blobs) {
  ++pass_;
  running_ = true;
  saw_error_ = false;
  wanted_.clear();
  for (const size_t blob : blobs) want_blob(blob);
  wanted_first_ = wanted_.size();
  next_ = ahead_ = 0;
}

void Prefetcher::want(std::span<const size_t> blobs) {
  for (const size_t blob : blobs) want_blob(blob);
}

void Prefetcher::want_blob(size_t blob) {
  for (size_t part = schedule_->first_part(blob); part < schedule_->first_part(blob + 1); ++part) {
    Slot& slot = this->slot(part);
    if (slot.wanted_in == pass_) continue;
    slot.wanted_in = pass_;
    slot.position = wanted_.size();
    wanted_.push_back(part);
  }
}

bool Prefetcher::has_failed(std::span<const size_t> blobs) const {
  for (const size_t blob : blobs) {
    for (size_t part = schedule_->first_part(blob); part < schedule_->first_part(blob + 1); ++part) {
      if (slot(part).state == PartState::kFailed) return true;
    }
  }
  return false;
}

bool Prefetcher::end() {
  running_ = false;
  return !saw_error_ && asked_.empty() &&
         std::all_of(wanted_.begin(), wanted_.end(), [&](size_t part) { return slot(part).used_in == pass_; });
}

// What stays in memory stays; everything else is as before the first pass. Queued parts that were not finished give
// their memory back.
void Prefetcher::forget() {
  ring_.clear();
  GrowingMemory::Mark end;
  for (size_t i = 0; i < schedule_->part_count(); ++i) {
    const Part& part = schedule_->part(i);
    Slot& slot = this->slot(i);
    slot.users = 0;
    slot.is_asked = false;
    slot.own = nullptr;
    slot.error = nullptr;
    if (part.home() == Home::kRing) slot.data = nullptr;
    if (part.home() == Home::kRing || slot.state != PartState::kReady) slot.state = PartState::kEmpty;
    if (part.is_queued() && slot.state == PartState::kReady) end = std::max(end, slot.place.end);
  }
  schedule_->queue().rewind(end);
  wanted_.clear();  // so that nothing is brought before the next pass begins
  wanted_first_ = next_ = ahead_ = 0;
  asked_.clear();
  filling_ = kNone;
  blocked_ = false;
  taken_ = 0;
}

bool Prefetcher::next(Job& job) {
  if (schedule_ == nullptr || (filling_ == kNone && !open_next())) return false;
  Slot& slot = this->slot(filling_);
  const Part& part = schedule_->part(filling_);
  job = {filling_, slot.segments_begun++, 0};
  if (part.is_queued() && part.segment_count > 0) job.turn = schedule_->queue().enter();
  if (slot.segments_begun >= part.segment_count) filling_ = kNone;
  return true;
}

bool Prefetcher::open_next() {
  pass_over_brought();
  const bool asked =
      std::any_of(asked_.begin(), asked_.end(), [&](size_t part) { return slot(part).state == PartState::kEmpty; });
  if (asked) return open_asked();
  return running_ && next_ < wanted_.size() ? open(wanted_[next_], true) : open_ahead();
}

void Prefetcher::pass_over_brought() {
  const auto is_done = [&](const Slot& slot) { return slot.state != PartState::kEmpty || slot.used_in == pass_; };
  while (next_ < wanted_.size() && is_done(slot(wanted_[next_]))) ++next_;
}

bool Prefetcher::open_asked() {
  const bool opened = std::any_of(asked_.begin(), asked_.end(), [&](size_t part) {
    return slot(part).state == PartState::kEmpty && open(part, true);
  });
  blocked_ = !opened;
  return opened;
}

// For the next pass, once this one has used it: the ring gives room back in the order in which it is taken.
bool Prefetcher::open_ahead() {
  for (; ahead_ < wanted_first_; ++ahead_) {
    const size_t part = wanted_[ahead_];
    const bool stays = schedule_->part(part).home() == Home::kMemory;
    if (running_ && !stays && slot(part).used_in != pass_) return false;
    if (slot(part).state == PartState::kEmpty) return open(part, false);
  }
  return false;
}

bool Prefetcher::open(size_t part, bool may_evict) {
  Slot& slot = this->slot(part);
  if (schedule_->part(part).home() == Home::kRing && slot.own == nullptr && !find_room(part, may_evict)) return false;
  slot.state = PartState::kFilling;
  slot.segments_begun = slot.segments_done = 0;
  slot.place = {};
  slot.error = nullptr;
  filling_ = part;
  return true;
}

bool Prefetcher::find_room(size_t part, bool may_evict) {
  const uint64_t bytes = std::max<uint64_t>(schedule_->part(part).most_bytes(), 1);
  uint8_t*& data = slot(part).data;
  while ((data = ring_.allocate(bytes, part)) == nullptr && may_evict) {
    const size_t victim = ring_.oldest_owner([&](size_t owner) { return may_go(slot(owner)); });
    if (victim == Ring::kNobody) return false;
    leave_ring(victim);
  }
  return data != nullptr;
}

// Whether a part in the ring may make room for one that is wanted now: it came for another pass, or before its time.
bool Prefetcher::may_go(const Slot& slot) const {
  const bool has_come = slot.state == PartState::kReady || slot.state == PartState::kFailed;
  const bool is_next = slot.wanted_in == pass_ && slot.used_in != pass_ && slot.position < next_;
  return has_come && slot.users == 0 && !slot.is_asked && !is_next;
}

void Prefetcher::leave_ring(size_t part) {
  Slot& slot = this->slot(part);
  if (slot.own == nullptr) {
    ring_.release(slot.data);
  } else {
    slot.own = nullptr;
  }
  slot.data = nullptr;
  slot.error = nullptr;
  slot.state = PartState::kEmpty;
}

bool Prefetcher::finish(const Job& job, const std::exception_ptr& error) {
  Slot& slot = this->slot(job.part);
  const Part& part = schedule_->part(job.part);
  if (error != nullptr && slot.error == nullptr) slot.error = error;
  if (++slot.segments_done < part.segment_count) return false;
  slot.state = slot.error == nullptr ? PartState::kReady : PartState::kFailed;
  if (part.is_queued()) slot.data = slot.place.data;
  return true;
}

bool Prefetcher::ask(size_t part) {
  Slot& slot = this->slot(part);
  if (has_come(part)) return false;
  if (slot.is_asked) return false;
  slot.is_asked = true;
  asked_.push_back(part);
  blocked_ = false;
  return slot.state == PartState::kEmpty;
}

bool Prefetcher::has_come(size_t part) const {
  return slot(part).state == PartState::kReady || slot(part).state == PartState::kFailed;
}

bool Prefetcher::is_stuck(size_t part) const {
  const auto is_coming = [&](size_t owner) { return slot(owner).state == PartState::kFilling; };
  return blocked_ && taken_ == 0 && slot(part).state == PartState::kEmpty && slot(part).own == nullptr &&
         ring_.oldest_owner(is_coming) == Ring::kNobody;
}

void Prefetcher::take_outside_ring(size_t part) {
  Slot& slot = this->slot(part);
  slot.own = allocator_.allocate(std::max<uint64_t>(schedule_->part(part).most_bytes(), 1));
  slot.data = slot.own.get();
}

const uint8_t* Prefetcher::take(size_t part) {
  Slot& slot = this->slot(part);
  if (slot.is_asked) std::erase(asked_, part);
  slot.is_asked = false;
  saw_error_ = saw_error_ || slot.error != nullptr;
  if (slot.error != nullptr) std::rethrow_exception(slot.error);
  ++slot.users;
  if (schedule_->part(part).home() == Home::kRing) ++taken_;
  return slot.data;
}

bool Prefetcher::give_back(size_t part) {
  Slot& slot = this->slot(part);
  slot.used_in = pass_;
  --slot.users;
  if (schedule_->part(part).home() == Home::kMemory) return false;
  --taken_;
  if (slot.users == 0) leave_ring(part);
  blocked_ = false;  // a worker looks again and says so if there is still no room
  return true;
}

}  // namespace lpc
