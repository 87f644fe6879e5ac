// The order of transcoded segments in memory. Their sizes are known only when they are encoded, so they are encoded at
// the same time and placed one behind the other, in the order in which they were handed out: a thread waits only for
// those that began earlier.
#pragma once

#include <condition_variable>
#include <mutex>

#include "store/growing_memory.h"

namespace lpc {

class TranscodeQueue {
 public:
  explicit TranscodeQueue(WeightAllocator& allocator) : memory_(allocator) {}

  // Segments of one part: they follow each other.
  struct Place {
    uint8_t* data = nullptr;
    size_t segments = 0;
    uint64_t bytes = 0;
    GrowingMemory::Mark end;
  };

  // What all will take together, at most; said before the first enter.
  void expect(size_t bytes) { memory_.expect(bytes); }

  // The turn of a segment that is handed out now; those of a part come one after the other. One call of place or skip
  // belongs to each turn, or those after it wait for ever.
  uint64_t enter();

  // Waits for the turn, then gives the place of the next `bytes` bytes of `part`, whose segments take `most_bytes` at
  // most. Null if a segment before `segment` has no place: the part is given up. Throws LPC_OUT_OF_MEMORY.
  uint8_t* place(uint64_t turn, Place& part, size_t segment, uint64_t bytes, uint64_t most_bytes);
  void skip(uint64_t turn);

  size_t used_bytes() const;
  // Gives back what lies behind `end`; nobody may wait for a turn.
  void rewind(GrowingMemory::Mark end);

 private:
  class Turn;

  mutable std::mutex mutex_;
  std::condition_variable turn_changed_;
  uint64_t next_turn_ = 0;  // of the next segment that is handed out
  uint64_t turn_ = 0;       // whose segment is placed next
  GrowingMemory memory_;
};

}  // namespace lpc
