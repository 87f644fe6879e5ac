// What one session uses in its passes (Runs): its weights in order of use, cut into parts, and the memory of those that
// stay.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "store/part.h"

namespace lpc {

class Schedule {
 public:
  // `blobs` in order of use. ring_bytes 0: room for the two largest neighbouring layers.
  // Throws LPC_INVALID_ARGUMENT when ring_bytes is too small for three parts, saying what is needed.
  Schedule(std::vector<ScheduledBlob> blobs, size_t ring_bytes);

  // The same weights wanted in the same way, and the same ring: the two can be one.
  bool equals(const Schedule& other) const;

  size_t blob_count() const { return blobs_.size(); }
  std::span<const ScheduledBlob> blobs() const { return blobs_; }
  // Every blob's index, in order of use: what a pass wants that names nothing.
  std::span<const size_t> every_blob() const { return every_blob_; }

  size_t part_count() const { return parts_.size(); }
  const Part& part(size_t index) const { return parts_[index]; }
  // The parts of blob `index` are [first_part(index), first_part(index + 1)).
  size_t first_part(size_t blob) const { return first_part_[blob]; }

  size_t ring_bytes() const { return ring_bytes_; }
  size_t pinned_bytes() const;

  // Takes the memory for everything that stays; called once, before the first pass. Throws LPC_OUT_OF_MEMORY.
  void allocate(WeightAllocator& allocator);

  // Where queued parts are placed; the layer store's.
  TranscodeQueue& queue() { return *queue_; }

  std::vector<Slot> slots;  // one a part; the layer store's

 private:
  void cut_into_parts();
  void append_parts(const ScheduledBlob& blob);
  size_t default_ring_bytes() const;
  size_t smallest_ring_bytes() const;

  std::vector<ScheduledBlob> blobs_;
  std::vector<size_t> every_blob_;
  std::vector<Part> parts_;
  std::vector<size_t> first_part_;
  size_t ring_bytes_ = 0;
  size_t pinned_bytes_ = 0;
  WeightMemory pinned_;
  std::unique_ptr<TranscodeQueue> queue_;
};

}  // namespace lpc
