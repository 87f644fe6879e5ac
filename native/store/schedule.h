// What one session uses in one pass (a Run): parts of its weights in order of use, and where each part lives.
#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "store/growing_memory.h"
#include "store/memory.h"
#include "store/recoded_blob.h"
#include "store/stored_blob.h"

namespace lpc {

enum class Residence {
  kStreamed,  // read for every pass
  kResident,  // kept in memory as it is stored, decoded for every pass
  kDecoded,   // decoded once and kept
  kRecoded,   // kept in memory in another codec, which products are computed from
};

struct ScheduledBlob {
  std::shared_ptr<const StoredBlob> blob;
  Residence residence = Residence::kStreamed;
  bool as_stored = false;                // its stored bytes are wanted, not the decoded ones; never with kDecoded
  std::shared_ptr<RecodedBlob> recoded;  // with kRecoded: what is wanted then are its bytes
};

// Some neighbouring segments of one blob: what is decoded, waited for and multiplied in one piece.
struct Part {
  const StoredBlob* blob = nullptr;
  RecodedBlob* recoded = nullptr;
  Residence residence = Residence::kStreamed;
  bool as_stored = false;
  size_t first_segment = 0;
  size_t segment_count = 0;
  uint64_t first_row = 0;
  uint64_t row_count = 0;
  bool last_of_blob = false;
  bool last_of_layer = false;

  // Of the blob as products find it in memory.
  const BlobHeader& header() const { return recoded != nullptr ? recoded->header() : blob->header(); }
  uint64_t decoded_bytes() const { return row_count * blob->header().row_bytes; }
  // Of the segments as stored, padding between them included; of a recoded blob, once the part is filled.
  uint64_t stored_bytes() const;
  // The most that its segments take when they are recoded.
  uint64_t recoded_bytes_bound() const;
  // What the user of the part gets.
  uint64_t bytes() const { return as_stored ? stored_bytes() : decoded_bytes(); }
  // False: once filled it stays.
  bool uses_ring() const {
    return residence == Residence::kStreamed || (residence == Residence::kResident && !as_stored);
  }
};

enum class PartState { kEmpty, kFilling, kReady, kFailed, kAcquired };

// The life of a part; guarded by the layer store's lock.
struct Slot {
  PartState state = PartState::kEmpty;
  uint64_t pass = 0;        // the pass that this slot serves now or next
  uint8_t* data = nullptr;  // decoded bytes: in the ring, in the schedule's memory, or `own`
  uint8_t* kept = nullptr;  // kResident: the stored bytes, in the schedule's memory
  bool kept_is_full = false;
  std::vector<uint8_t> own;    // used when the ring had no room
  size_t segments_placed = 0;  // kRecoded: have their place
  uint64_t placed_bytes = 0;   // what they take
  GrowingMemory::Mark end;     // kRecoded: where they end
  size_t segments_begun = 0;   // handed to workers
  size_t segments_done = 0;
  std::exception_ptr error;
};

class Schedule {
 public:
  // `blobs` in order of use. ring_bytes 0: room for the two largest neighbouring layers.
  // Throws LPC_INVALID_ARGUMENT when ring_bytes is too small for two parts, saying what is needed.
  Schedule(std::vector<ScheduledBlob> blobs, size_t ring_bytes);

  // The same blobs with the same residence and ring: the two can be one.
  bool equals(const Schedule& other) const;

  size_t part_count() const { return parts_.size(); }
  const Part& part(size_t index) const { return parts_[index]; }
  // The parts of blob `index` are [first_part(index), first_part(index + 1)).
  size_t first_part(size_t blob) const { return first_part_[blob]; }

  size_t ring_bytes() const { return ring_bytes_; }
  size_t pinned_bytes() const { return pinned_bytes_ + recoded_.used_bytes(); }

  // Takes the memory for everything that stays; called once, before the first pass. Throws LPC_OUT_OF_MEMORY.
  void allocate();

  // The memory of recoded parts, which are filled in order; the layer store's.
  GrowingMemory& recoded_memory() { return recoded_; }

  std::vector<Slot> slots;  // one a part; the layer store's

 private:
  void cut_into_parts();
  size_t default_ring_bytes() const;
  size_t smallest_ring_bytes() const;

  std::vector<ScheduledBlob> blobs_;
  std::vector<Part> parts_;
  std::vector<size_t> first_part_;
  size_t ring_bytes_ = 0;
  size_t pinned_bytes_ = 0;
  MappedMemory pinned_;
  GrowingMemory recoded_;
};

}  // namespace lpc
