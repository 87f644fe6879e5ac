#include "store/transcode_queue.h"

#include "codecs/layout.h"

namespace lpc {

// Held from a turn's beginning to its end, whatever happens in it.
class TranscodeQueue::Turn {
 public:
  Turn(TranscodeQueue& queue, uint64_t turn) : queue_(queue), lock_(queue.mutex_) {
    queue_.turn_changed_.wait(lock_, [&] { return queue_.turn_ == turn; });
  }
  ~Turn() {
    ++queue_.turn_;
    queue_.turn_changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  TranscodeQueue& queue_;
  std::unique_lock<std::mutex> lock_;
};

uint64_t TranscodeQueue::enter() {
  const std::lock_guard lock(mutex_);
  return next_turn_++;
}

uint8_t* TranscodeQueue::place(uint64_t turn, Place& part, size_t segment, uint64_t bytes, uint64_t most_bytes) {
  const Turn mine(*this, turn);
  if (part.segments != segment) return nullptr;
  if (segment == 0) part.data = memory_.open(most_bytes);
  uint8_t* place = part.data + part.bytes;
  const uint64_t used = align_up(bytes, kSegmentAlignment);
  memory_.use(used);
  part.bytes += used;
  part.end = memory_.mark();
  ++part.segments;
  return place;
}

void TranscodeQueue::skip(uint64_t turn) { const Turn mine(*this, turn); }

size_t TranscodeQueue::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return memory_.used_bytes();
}

void TranscodeQueue::rewind(GrowingMemory::Mark end) {
  const std::lock_guard lock(mutex_);
  memory_.rewind(end);
}

}  // namespace lpc
