// Brings a segment of a part into memory, in the form in which the part is wanted.
#pragma once

#include "store/part.h"

namespace lpc {

// A segment that a worker is to bring.
struct Job {
  size_t part = 0;
  size_t segment = 0;  // of the part
  uint64_t turn = 0;   // of a queued part, in the queue
};

// Allocates nothing but what a queued part grows by. Throws what reading, decoding and placing throw.
void fill_segment(const Job& job, const Part& part, Slot& slot, TranscodeQueue& queue, ReadBuffers& buffers,
                  Observer& observer);

}  // namespace lpc
