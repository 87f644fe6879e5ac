#include "store/layer_store.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace lpc {
namespace {

void require_blobs(const Schedule& schedule, std::span<const size_t> blobs) {
  for (const size_t blob : blobs) {
    if (blob < schedule.blob_count()) continue;
    throw Error(LPC_INVALID_ARGUMENT,
                "blob: got " + std::to_string(blob) + ", expected less than " + std::to_string(schedule.blob_count()));
  }
}

}  // namespace

LayerStore::LayerStore(unsigned threads, WeightAllocator& allocator)
    : allocator_(allocator),
      prefetcher_(allocator),
      workers_(threads, mutex_, [this](Lock& lock, ReadBuffers& buffers) { return work(lock, buffers); }) {}

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
  schedule->allocate(allocator_);
  known_.push_back(schedule);
  return schedule;
}

void LayerStore::begin_pass(const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
                            const std::shared_ptr<const CancelFlag>& cancel) {
  begin_pass(schedule, observer, cancel, schedule->every_blob());
}

void LayerStore::begin_pass(const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
                            const std::shared_ptr<const CancelFlag>& cancel, std::span<const size_t> wanted) {
  require_this_process();
  require_blobs(*schedule, wanted);
  if (!passes_.take(cancel.get())) Cancellation::throw_cancelled();
  Lock lock(mutex_);
  try {
    if (prefetcher_.schedule() != schedule) serve(lock, schedule);
  } catch (...) {
    leave_pass(lock);
    throw;
  }
  if (prefetcher_.has_failed(wanted)) forget(lock);  // so that it is tried once more
  observer_ = observer;
  cancellation_ = Cancellation(cancel);
  observer->cancel = cancel.get();
  observer->statistics.ring_bytes = prefetcher_.ring_bytes();
  observer->statistics.pinned_bytes = schedule->pinned_bytes();
  prefetcher_.begin(wanted);
  workers_.wake();
}

void LayerStore::want(std::span<const size_t> blobs) {
  const Lock lock(mutex_);
  require_blobs(*prefetcher_.schedule(), blobs);
  prefetcher_.want(blobs);
  workers_.wake();
}

void LayerStore::leave_pass(Lock& lock) {
  if (observer_ != nullptr) observer_->cancel = nullptr;
  cancellation_ = {};
  lock.unlock();
  passes_.leave();
}

void LayerStore::end_pass() {
  Lock lock(mutex_);
  if (!prefetcher_.end()) forget(lock);
  leave_pass(lock);
}

void LayerStore::retire(std::shared_ptr<Schedule>&& schedule) {
  if (!is_of_this_process()) return;
  passes_.take(nullptr);
  Lock lock(mutex_);
  const bool last_user = prefetcher_.schedule() == schedule && schedule.use_count() == 2;
  schedule.reset();
  if (last_user) {
    workers_.interrupt(lock);
    prefetcher_.serve(nullptr);
    observer_.reset();
  }
  leave_pass(lock);
}

void LayerStore::serve(Lock& lock, const std::shared_ptr<Schedule>& schedule) {
  workers_.interrupt(lock);
  for (ReadBuffers& buffers : workers_.buffers()) {
    for (const ScheduledBlob& blob : schedule->blobs()) blob.reserve(buffers);
  }
  workers_.start();  // before there is work: if it fails there must be none
  prefetcher_.serve(schedule);
}

void LayerStore::forget(Lock& lock) {
  workers_.interrupt(lock);
  prefetcher_.forget();
}

bool LayerStore::work(Lock& lock, ReadBuffers& buffers) {
  Job job;
  if (!prefetcher_.next(job)) {
    if (prefetcher_.is_blocked()) part_changed_.notify_all();  // a waiting thread may have to help itself
    return false;
  }
  Schedule& schedule = *prefetcher_.schedule();
  const Part& part = schedule.part(job.part);
  const std::shared_ptr<Observer> observer = observer_;
  lock.unlock();
  std::exception_ptr error;
  try {
    fill_segment(job, part, schedule.slots[job.part], schedule.queue(), buffers, *observer);
  } catch (...) {
    error = std::current_exception();
  }
  lock.lock();
  if (!prefetcher_.finish(job, error)) return true;
  if (schedule.slots[job.part].error == nullptr) count_part(part, *observer);
  part_changed_.notify_all();
  return true;
}

// Parts come in order, but for the rare one that was waited for out of turn: then the count is of the last part's end.
void LayerStore::count_part(const Part& part, Observer& observer) const {
  if (part.is_queued()) observer.statistics.pinned_bytes = prefetcher_.schedule()->pinned_bytes();
  if (part.last_of_blob) observer.statistics.blobs_decompressed += 1;
  if (part.last_of_layer) observer.statistics.layers_decompressed += 1;
}

const uint8_t* LayerStore::acquire(size_t index) {
  const auto begin = Clock::now();
  Lock lock(mutex_);
  const int64_t layer = prefetcher_.schedule()->part(index).blob().layer();
  observer_->statistics.layer = static_cast<uint64_t>(layer);
  const auto has_come = [&] {
    if (prefetcher_.ask(index)) workers_.wake();
    return prefetcher_.has_come(index);
  };
  cancellation_.wait_unless_cancelled(lock, part_changed_, [&] { return has_come() || prefetcher_.is_stuck(index); });
  if (!prefetcher_.has_come(index)) {
    prefetcher_.take_outside_ring(index);
    workers_.wake();
    cancellation_.wait_unless_cancelled(lock, part_changed_, has_come);
  }
  observer_->record(observer_->statistics.wait_ns, "wait", layer, begin);
  return prefetcher_.take(index);
}

void LayerStore::release(size_t index) {
  {
    const Lock lock(mutex_);
    if (!prefetcher_.give_back(index)) return;
  }
  workers_.wake();
}

}  // namespace lpc
