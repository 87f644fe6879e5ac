#include "store/layer_store.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace lpc {

Schedule::Schedule(std::vector<std::shared_ptr<const StoredBlob>> blobs, std::shared_ptr<Statistics> statistics)
    : blobs_(std::move(blobs)), layer_size_(blobs_.size()), statistics_(std::move(statistics)) {
  for (size_t i = 0; i < blobs_.size(); ++i) {
    layer_size_[i] = static_cast<size_t>(std::count_if(
        blobs_.begin(), blobs_.end(), [&](const auto& other) { return other->layer() == blobs_[i]->layer(); }));
  }
}

size_t Schedule::ring_bytes() const {
  size_t largest_pair = 0;
  size_t largest_blob = 0;
  size_t previous = 0;
  size_t current = 0;
  for (size_t i = 0; i < size(); ++i) {
    if (i > 0 && blob(i).layer() != blob(i - 1).layer()) {
      previous = current;
      current = 0;
    }
    // Every piece is aligned up, and so costs a little more than its bytes.
    const size_t bytes = blob(i).header().decoded_bytes() + kSegmentAlignment;
    current += bytes;
    largest_blob = std::max(largest_blob, bytes);
    largest_pair = std::max(largest_pair, previous + current);
  }
  return largest_pair + largest_blob;
}

LayerStore::~LayerStore() {
  {
    Lock lock(mutex_);
    stopping_ = true;
  }
  work_available_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void LayerStore::begin_pass(const std::shared_ptr<const Schedule>& schedule) {
  Lock lock(mutex_);
  pass_ended_.wait(lock, [&] { return !pass_running_; });
  if (schedule_ != schedule) switch_schedule(lock, schedule);
  pass_running_ = true;
  ++pass_;
  work_available_.notify_all();
}

void LayerStore::end_pass() {
  Lock lock(mutex_);
  const bool complete =
      std::all_of(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.pass == pass_ + 1; });
  if (!complete) forget_everything(lock);
  pass_running_ = false;
  lock.unlock();
  pass_ended_.notify_one();
}

void LayerStore::retire(const Schedule* schedule) {
  Lock lock(mutex_);
  if (schedule_.get() != schedule) return;
  pass_ended_.wait(lock, [&] { return !pass_running_; });
  forget_everything(lock);
  schedule_.reset();
  slots_.clear();
  ring_.resize(0, 0);
}

void LayerStore::switch_schedule(Lock& lock, const std::shared_ptr<const Schedule>& schedule) {
  forget_everything(lock);
  schedule_ = nullptr;  // stays so if memory runs out below
  const size_t ring_bytes = schedule->ring_bytes();
  ring_.resize(ring_bytes, schedule->size());
  slots_ = std::vector<Slot>(schedule->size());
  for (Slot& slot : slots_) slot.pass = pass_ + 1;
  layer_done_.assign(schedule->size(), 0);
  schedule_ = schedule;
  schedule->statistics().pool_bytes = ring_.capacity();
  reserve_buffers();
  start_workers();
}

void LayerStore::forget_everything(Lock& lock) {
  forgetting_ = true;
  slot_changed_.wait(lock, [&] { return jobs_running_ == 0; });
  forgetting_ = false;
  ring_.clear();
  for (Slot& slot : slots_) {
    slot = Slot{};
    slot.pass = pass_ + 1;
  }
  std::fill(layer_done_.begin(), layer_done_.end(), 0);
  next_slot_ = 0;
  next_pass_ = pass_ + 1;
  filling_slot_ = SIZE_MAX;
  blocked_ = false;
  acquired_ = 0;
}

void LayerStore::reserve_buffers() {
  buffers_.resize(thread_count_ + 1);
  for (ReadBuffers& buffers : buffers_) {
    for (size_t i = 0; i < schedule_->size(); ++i) schedule_->blob(i).reserve(buffers);
  }
}

void LayerStore::start_workers() {
  while (workers_.size() < thread_count_) {
    workers_.emplace_back([this, worker = workers_.size()] { work(worker); });
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
  if (forgetting_ || schedule_ == nullptr || schedule_->size() == 0) return false;
  if (filling_slot_ == SIZE_MAX && !open_next_slot()) return false;
  Slot& slot = slots_[filling_slot_];
  job = {filling_slot_, slot.segments_begun++};
  if (slot.segments_begun == schedule_->blob(filling_slot_).header().segments.size()) filling_slot_ = SIZE_MAX;
  return true;
}

// Gives the next blob in order a place in the ring. False when there is none, or no blob is to be filled yet.
bool LayerStore::open_next_slot() {
  for (;;) {
    Slot& slot = slots_[next_slot_];
    if (slot.pass > next_pass_) {  // decoded out of turn already
      if (++next_slot_ == slots_.size()) {
        next_slot_ = 0;
        ++next_pass_;
      }
      continue;
    }
    if (slot.pass < next_pass_ || slot.state != State::kEmpty) return false;  // a whole pass ahead
    const BlobHeader& header = schedule_->blob(next_slot_).header();
    slot.data = ring_.allocate(std::max<uint64_t>(header.decoded_bytes(), 1));
    if (slot.data == nullptr) {
      blocked_ = true;
      slot_changed_.notify_all();  // a waiting consumer may have to help itself
      return false;
    }
    blocked_ = false;
    slot.state = State::kFilling;
    slot.segments_begun = slot.segments_done = 0;
    slot.error = nullptr;
    const size_t opened = next_slot_;
    if (++next_slot_ == slots_.size()) {
      next_slot_ = 0;
      ++next_pass_;
    }
    if (header.segments.empty()) {
      finish_slot(slot, opened);
      continue;
    }
    filling_slot_ = opened;
    return true;
  }
}

void LayerStore::run_job(Lock& lock, const Job& job, ReadBuffers& buffers) {
  Slot& slot = slots_[job.slot];
  const StoredBlob& blob = schedule_->blob(job.slot);
  const BlobHeader& header = blob.header();
  Statistics& statistics = schedule_->statistics();
  uint8_t* out = slot.data + header.segment_first_row(job.segment) * header.row_bytes;
  const size_t out_bytes = header.segment_decoded_bytes(job.segment);
  ++jobs_running_;
  lock.unlock();
  std::exception_ptr error;
  try {
    statistics.bytes_read += blob.read_segment(job.segment, {out, out_bytes}, buffers);
    statistics.bytes_decoded += out_bytes;
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  --jobs_running_;
  if (error != nullptr && slot.error == nullptr) slot.error = error;
  if (++slot.segments_done == header.segments.size()) finish_slot(slot, job.slot);
  if (forgetting_) slot_changed_.notify_all();
}

void LayerStore::finish_slot(Slot& slot, size_t index) {
  slot.state = slot.error == nullptr ? State::kReady : State::kFailed;
  if (slot.error == nullptr) {
    Statistics& statistics = schedule_->statistics();
    statistics.blobs_decompressed += 1;
    size_t first = index;
    while (first > 0 && schedule_->blob(first - 1).layer() == schedule_->blob(index).layer()) --first;
    if (++layer_done_[first] == schedule_->layer_size(index)) {
      layer_done_[first] = 0;
      statistics.layers_decompressed += 1;
    }
  }
  slot_changed_.notify_all();
}

bool LayerStore::ring_is_stuck() const { return blocked_ && acquired_ == 0 && !helping_; }

const uint8_t* LayerStore::acquire(size_t index) {
  const auto begin = std::chrono::steady_clock::now();
  Lock lock(mutex_);
  Slot& slot = slots_[index];
  if (slot.pass != pass_ || slot.state == State::kAcquired) {
    throw Error(LPC_INTERNAL, "tensor " + schedule_->blob(index).tensor() + ": used twice in one pass");
  }
  slot_changed_.wait(lock, [&] {
    return slot.state == State::kReady || slot.state == State::kFailed ||
           (slot.state == State::kEmpty && ring_is_stuck());
  });
  if (slot.state == State::kEmpty) fill_now(lock, index);
  const auto waited = std::chrono::steady_clock::now() - begin;
  schedule_->statistics().wait_ns +=
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count());
  if (slot.state == State::kFailed) std::rethrow_exception(slot.error);
  slot.state = State::kAcquired;
  ++acquired_;
  return slot.data;
}

// The computing thread decodes a blob by itself, into memory outside the ring.
void LayerStore::fill_now(Lock& lock, size_t index) {
  Slot& slot = slots_[index];
  const BlobHeader& header = schedule_->blob(index).header();
  slot.own.resize(std::max<uint64_t>(header.decoded_bytes(), 1));
  slot.data = slot.own.data();
  slot.state = State::kFilling;
  slot.segments_begun = header.segments.size();
  slot.segments_done = 0;
  slot.error = nullptr;
  helping_ = true;
  for (size_t i = 0; i < header.segments.size(); ++i) run_job(lock, {index, i}, buffers_[thread_count_]);
  helping_ = false;
  if (header.segments.empty()) finish_slot(slot, index);
}

void LayerStore::release(size_t index) {
  {
    Lock lock(mutex_);
    Slot& slot = slots_[index];
    if (slot.own.empty()) {
      ring_.release(slot.data);
    } else {
      slot.own = {};
    }
    slot.data = nullptr;
    slot.state = State::kEmpty;
    ++slot.pass;
    --acquired_;
    blocked_ = false;  // a worker looks again and says so if there is still no room
  }
  work_available_.notify_all();
}

}  // namespace lpc
