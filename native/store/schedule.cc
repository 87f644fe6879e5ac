#include "store/schedule.h"

#include <algorithm>

#include "base/error.h"

namespace lpc {
namespace {

// Small enough that computing begins early and a ring of a few parts is small, large enough that its overhead is not
// felt.
constexpr uint64_t kPartBytes = uint64_t{16} << 20;

const Codec* codec_in_memory(const ScheduledBlob& scheduled) {
  return scheduled.recoded != nullptr ? &scheduled.recoded->codec() : nullptr;
}

// What a piece of `bytes` takes in the ring or in the pinned memory.
size_t piece_bytes(uint64_t bytes) {
  return (std::max<uint64_t>(bytes, 1) + kSegmentAlignment - 1) / kSegmentAlignment * kSegmentAlignment;
}

}  // namespace

uint64_t Part::stored_bytes() const {
  if (segment_count == 0) return 0;
  const auto& segments = header().segments;
  const Segment& last = segments[first_segment + segment_count - 1];
  return last.offset + last.bytes - segments[first_segment].offset;
}

uint64_t Part::recoded_bytes_bound() const {
  return segment_count * piece_bytes(blob->header().rows_per_segment * blob->header().row_bytes);
}

Schedule::Schedule(std::vector<ScheduledBlob> blobs, size_t ring_bytes)
    : blobs_(std::move(blobs)), ring_bytes_(ring_bytes) {
  cut_into_parts();
  for (const Part& part : parts_) {
    if (part.residence == Residence::kDecoded) pinned_bytes_ += piece_bytes(part.decoded_bytes());
    if (part.residence == Residence::kResident) pinned_bytes_ += piece_bytes(part.stored_bytes());
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
  for (const ScheduledBlob& scheduled : blobs_) {
    const BlobHeader& header = scheduled.blob->header();
    first_part_.push_back(parts_.size());
    const uint64_t segment_bytes = std::max<uint64_t>(header.rows_per_segment * header.row_bytes, 1);
    const size_t segments_a_part = std::max<uint64_t>(kPartBytes / segment_bytes, 1);
    size_t segment = 0;
    do {
      Part part;
      part.blob = scheduled.blob.get();
      part.recoded = scheduled.recoded.get();
      part.residence = scheduled.residence;
      part.as_stored = scheduled.as_stored;
      part.first_segment = segment;
      part.segment_count = std::min(segments_a_part, header.segments.size() - segment);
      part.first_row = header.segment_first_row(segment);
      for (size_t i = 0; i < part.segment_count; ++i) part.row_count += header.segment_rows(segment + i);
      segment += part.segment_count;
      part.last_of_blob = segment == header.segments.size();
      parts_.push_back(part);
    } while (segment < header.segments.size());
  }
  first_part_.push_back(parts_.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].last_of_layer = i + 1 == parts_.size() || parts_[i + 1].blob->layer() != parts_[i].blob->layer();
  }
}

size_t Schedule::default_ring_bytes() const {
  size_t largest_pair = 0;
  size_t previous = 0;
  size_t current = 0;
  for (const Part& part : parts_) {
    if (part.uses_ring()) current += piece_bytes(part.bytes());
    largest_pair = std::max(largest_pair, previous + current);
    if (part.last_of_layer) {
      previous = current;
      current = 0;
    }
  }
  return largest_pair;
}

// One part is multiplied while the next one arrives; a third, because a part cannot be cut where the ring ends.
size_t Schedule::smallest_ring_bytes() const {
  size_t largest = 0;
  for (const Part& part : parts_) {
    if (part.uses_ring()) largest = std::max(largest, piece_bytes(part.bytes()));
  }
  return 3 * largest;
}

bool Schedule::equals(const Schedule& other) const {
  return ring_bytes_ == other.ring_bytes_ &&
         std::equal(blobs_.begin(), blobs_.end(), other.blobs_.begin(), other.blobs_.end(),
                    [](const ScheduledBlob& a, const ScheduledBlob& b) {
                      return a.blob->offset() == b.blob->offset() && a.blob->layer() == b.blob->layer() &&
                             a.residence == b.residence && a.as_stored == b.as_stored &&
                             codec_in_memory(a) == codec_in_memory(b);
                    });
}

void Schedule::allocate() {
  pinned_ = MappedMemory(pinned_bytes_);
  slots = std::vector<Slot>(parts_.size());
  size_t recoded = 0;
  for (const Part& part : parts_) recoded += part.recoded != nullptr ? part.recoded_bytes_bound() : 0;
  recoded_.expect(recoded);
  uint8_t* next = pinned_.data();
  for (size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = parts_[i];
    if (part.residence == Residence::kStreamed || part.recoded != nullptr) continue;
    const bool stays = !part.uses_ring();
    (stays ? slots[i].data : slots[i].kept) = next;
    next += piece_bytes(stays ? part.bytes() : part.stored_bytes());
  }
}

}  // namespace lpc
