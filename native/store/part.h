// The weights of a schedule: blobs, where each lives and in which form, and the parts that they are cut into.
#pragma once

#include <exception>
#include <memory>

#include "codecs/form.h"
#include "store/memory.h"
#include "store/segment_source.h"
#include "store/transcode_queue.h"
#include "store/transcoded_blob.h"

namespace lpc {

// Where a weight lives that is wanted in some form.
enum class Home : uint8_t {
  kRing,    // brought there whenever a pass wants it
  kMemory,  // stays there once a pass has wanted it
};

// A weight of a schedule: where it comes from, where it lives, in which form it is wanted. Every form can have every
// home and every source.
class ScheduledBlob {
 public:
  static ScheduledBlob decoded(std::shared_ptr<SegmentSource> source, Home home);
  static ScheduledBlob stored(std::shared_ptr<SegmentSource> source, Home home);
  // `to`: a codec whose tables can be made for a part of the tensor.
  static ScheduledBlob transcoded(std::shared_ptr<SegmentSource> source, Home home, const Codec& to);

  SegmentSource& source() const { return *source_; }
  Home home() const { return home_; }
  Form form() const { return form_; }
  TranscodedBlob* transcoded() const { return transcoded_.get(); }  // null in another form

  // Of the blob as products find it in memory.
  const BlobHeader& header() const;
  // Makes `buffers` large enough for any segment.
  void reserve(ReadBuffers& buffers) const;
  // Whether the same weight is wanted in the same way.
  bool equals(const ScheduledBlob& other) const;

 private:
  ScheduledBlob(std::shared_ptr<SegmentSource> source, Home home, Form form)
      : source_(std::move(source)), home_(home), form_(form) {}

  std::shared_ptr<SegmentSource> source_;
  Home home_;
  Form form_;
  std::shared_ptr<TranscodedBlob> transcoded_;
};

// Some neighbouring segments of one blob: what is brought into memory, waited for and multiplied in one piece.
struct Part {
  const ScheduledBlob* of = nullptr;
  size_t first_segment = 0;
  size_t segment_count = 0;
  uint64_t first_row = 0;
  uint64_t row_count = 0;
  bool last_of_blob = false;
  bool last_of_layer = false;

  const StoredBlob& blob() const { return of->source().blob(); }
  Home home() const { return of->home(); }
  Form form() const { return of->form(); }
  const BlobHeader& header() const { return of->header(); }

  // Transcoded parts that stay are placed one behind the other, by the queue.
  bool is_queued() const { return home() == Home::kMemory && form() == Form::kTranscoded; }
  uint64_t decoded_bytes() const { return row_count * blob().header().row_bytes; }
  // What the user of the part gets, padding between segments included; of a transcoded one, once it is there.
  uint64_t bytes() const;
  // The most that it takes in its home.
  uint64_t most_bytes() const;
  // Where a transcoded segment lies in the ring, from where the part begins: each has room for its decoded bytes.
  uint64_t ring_offset(size_t segment) const;
};

enum class PartState { kEmpty, kFilling, kReady, kFailed };

// The life of a part; guarded by the layer store's lock.
struct Slot {
  PartState state = PartState::kEmpty;
  uint64_t wanted_in = 0;     // number of the pass that named it last
  uint64_t used_in = 0;       // number of the pass that released it last
  size_t position = 0;        // among what that pass named
  size_t users = 0;           // that have acquired it and not released it
  bool is_asked = false;      // somebody waits for it
  uint8_t* data = nullptr;    // in the ring, in the schedule's memory, or `own`
  WeightMemory own;           // used when the ring had no room
  size_t segments_begun = 0;  // handed to workers
  size_t segments_done = 0;
  TranscodeQueue::Place place;  // of a queued part
  std::exception_ptr error;
};

}  // namespace lpc
