// The layer store: weights of one file, decoded ahead of their use into a bounded ring, by threads of its own.
//
// A `Schedule` is what one session uses in one pass (a Run): its blobs in order of use. During a pass the computing
// thread acquires and releases each of them once; the store's workers read and decode whatever comes next as long as
// the ring has room, across the end of a pass into the next one. One pass runs at a time; others wait.
//
// Order is a hint, not a promise: a blob asked for while the ring is full of blobs that nobody has asked for yet is
// decoded at once into memory of its own.
#pragma once

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "store/ring.h"
#include "store/statistics.h"
#include "store/stored_blob.h"

namespace lpc {

class Schedule {
 public:
  // `blobs` in order of use.
  Schedule(std::vector<std::shared_ptr<const StoredBlob>> blobs, std::shared_ptr<Statistics> statistics);

  size_t size() const { return blobs_.size(); }
  const StoredBlob& blob(size_t index) const { return *blobs_[index]; }
  Statistics& statistics() const { return *statistics_; }
  // Decoded bytes of the two neighbouring layers that are largest together, plus the largest blob, because the ring
  // cannot split one.
  size_t ring_bytes() const;
  // Number of blobs in the layer of blob `index`.
  size_t layer_size(size_t index) const { return layer_size_[index]; }

 private:
  std::vector<std::shared_ptr<const StoredBlob>> blobs_;
  std::vector<size_t> layer_size_;
  std::shared_ptr<Statistics> statistics_;
};

class LayerStore {
 public:
  explicit LayerStore(unsigned threads) : thread_count_(threads) {}
  ~LayerStore();
  LayerStore(const LayerStore&) = delete;
  LayerStore& operator=(const LayerStore&) = delete;

  // Waits until no pass is running, then begins one. Any thread may end it.
  void begin_pass(const std::shared_ptr<const Schedule>& schedule);
  // Blobs not used in the pass are forgotten.
  void end_pass();

  // Decoded bytes of blob `index` of the running pass's schedule; waits for them. Rethrows what reading it threw.
  // Valid until release(index).
  const uint8_t* acquire(size_t index);
  void release(size_t index);

  // Forgets the schedule if it is this one; called before a session goes away.
  void retire(const Schedule* schedule);

 private:
  enum class State { kEmpty, kFilling, kReady, kFailed, kAcquired };

  // One blob of the schedule, in the pass `pass`.
  struct Slot {
    State state = State::kEmpty;
    uint64_t pass = 0;          // the pass that this slot serves now or next
    uint8_t* data = nullptr;    // in the ring, or `own`
    std::vector<uint8_t> own;   // used when the ring had no room
    size_t segments_begun = 0;  // handed to workers
    size_t segments_done = 0;
    std::exception_ptr error;
  };

  struct Job {
    size_t slot = 0;
    size_t segment = 0;
  };

  using Lock = std::unique_lock<std::mutex>;

  void switch_schedule(Lock& lock, const std::shared_ptr<const Schedule>& schedule);
  void forget_everything(Lock& lock);
  void reserve_buffers();
  void start_workers();
  void work(size_t worker);
  bool next_job(Job& job);
  bool open_next_slot();
  void run_job(Lock& lock, const Job& job, ReadBuffers& buffers);
  void finish_slot(Slot& slot, size_t index);
  void fill_now(Lock& lock, size_t index);
  bool ring_is_stuck() const;

  const unsigned thread_count_;
  std::mutex mutex_;
  std::condition_variable work_available_;
  std::condition_variable slot_changed_;
  std::condition_variable pass_ended_;

  std::shared_ptr<const Schedule> schedule_;
  std::vector<Slot> slots_;
  std::vector<size_t> layer_done_;  // finished blobs of a layer, counted at the layer's first blob
  Ring ring_;
  std::vector<ReadBuffers> buffers_;  // one a worker, one more for fill_now
  std::vector<std::thread> workers_;

  bool pass_running_ = false;
  bool stopping_ = false;
  bool blocked_ = false;    // the next blob found no room in the ring
  bool helping_ = false;    // a computing thread is in fill_now, whose buffers are one set
  bool forgetting_ = false; // workers take no new job
  uint64_t pass_ = 0;       // number of the running pass, or of the last one
  uint64_t next_pass_ = 0;  // of the next blob to be filled
  size_t next_slot_ = 0;
  size_t filling_slot_ = SIZE_MAX;  // with segments not yet handed out
  size_t jobs_running_ = 0;
  size_t acquired_ = 0;
};

}  // namespace lpc
