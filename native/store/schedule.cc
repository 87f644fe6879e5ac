#include "store/schedule.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "store/memory_figures.h"

namespace lpc {
namespace {

// What a piece of `bytes` takes in the ring or in the pinned memory.
size_t piece_bytes(uint64_t bytes) {
  return (std::max<uint64_t>(bytes, 1) + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment;
}

}  // namespace

Schedule::Schedule(std::vector<ScheduledBlob> blobs, size_t ring_bytes)
    : blobs_(std::move(blobs)), every_blob_(blobs_.size()), ring_bytes_(ring_bytes) {
  std::iota(every_blob_.begin(), every_blob_.end(), size_t{0});
  cut_into_parts();
  for (const ScheduledBlob& blob : blobs_) {
    if (blob.source().kept_bytes() > 0) pinned_bytes_ += piece_bytes(blob.source().kept_bytes());
  }
  for (const Part& part : parts_) {
    if (part.home() == Home::kMemory && !part.is_queued()) pinned_bytes_ += piece_bytes(part.bytes());
  }
  const size_t smallest = smallest_ring_bytes();
  if (ring_bytes_ == 0) ring_bytes_ = std::max(default_ring_bytes(), smallest);
  if (ring_bytes_ < smallest) {
    throw Error(LPC_INVALID_ARGUMENT, "ring_bytes: got " + std::to_string(ring_bytes_) + ", expected at least " +
                                          std::to_string(smallest) + " for these weights");
  }
  if (smallest == 0) ring_bytes_ = 0;
}

void Schedule::cut_into_parts() {
  for (const ScheduledBlob& blob : blobs_) {
    first_part_.push_back(parts_.size());
    append_parts(blob);
  }
  first_part_.push_back(parts_.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].last_of_layer = i + 1 == parts_.size() || parts_[i + 1].blob().layer() != parts_[i].blob().layer();
  }
}

void Schedule::append_parts(const ScheduledBlob& blob) {
  const BlobHeader& header = blob.source().blob().header();
  const uint64_t segment_bytes = std::max<uint64_t>(header.rows_per_segment * header.row_bytes, 1);
  const size_t segments_a_part = std::max<uint64_t>(kPartBytes / segment_bytes, 1);
  size_t segment = 0;
  do {
    Part part;
    part.of = &blob;
    part.first_segment = segment;
    part.segment_count = std::min(segments_a_part, header.segments.size() - segment);
    part.first_row = header.segment_first_row(segment);
    for (size_t i = 0; i < part.segment_count; ++i) part.row_count += header.segment_rows(segment + i);
    segment += part.segment_count;
    part.last_of_blob = segment == header.segments.size();
    parts_.push_back(part);
  } while (segment < header.segments.size());
}

size_t Schedule::default_ring_bytes() const {
  size_t largest_pair = 0;
  size_t previous = 0;
  size_t current = 0;
  for (const Part& part : parts_) {
    if (part.home() == Home::kRing) current += piece_bytes(part.most_bytes());
    largest_pair = std::max(largest_pair, previous + current);
    if (part.last_of_layer) {
      previous = current;
      current = 0;
    }
  }
  return largest_pair;
}

size_t Schedule::smallest_ring_bytes() const {
  size_t largest = 0;
  for (const Part& part : parts_) {
    if (part.home() == Home::kRing) largest = std::max(largest, piece_bytes(part.most_bytes()));
  }
  return kLeastRingParts * largest;
}

bool Schedule::equals(const Schedule& other) const {
  return ring_bytes_ == other.ring_bytes_ &&
         std::equal(blobs_.begin(), blobs_.end(), other.blobs_.begin(), other.blobs_.end(),
                    [](const ScheduledBlob& a, const ScheduledBlob& b) { return a.equals(b); });
}

size_t Schedule::pinned_bytes() const { return pinned_bytes_ + (queue_ == nullptr ? 0 : queue_->used_bytes()); }

void Schedule::allocate(WeightAllocator& allocator) {
  pinned_ = allocator.allocate(pinned_bytes_);
  queue_ = std::make_unique<TranscodeQueue>(allocator);
  slots = std::vector<Slot>(parts_.size());
  uint8_t* next = pinned_.get();
  for (const ScheduledBlob& blob : blobs_) {
    if (blob.source().kept_bytes() == 0) continue;
    blob.source().keep_in(next);
    next += piece_bytes(blob.source().kept_bytes());
  }
  size_t queued = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.is_queued()) {
      queued += part.most_bytes();
    } else if (part.home() == Home::kMemory) {
      slots[i].data = next;
      next += piece_bytes(part.bytes());
    }
  }
  queue_->expect(queued);
}

}  // namespace lpc
