#include "store/fill.h"

#include <cstring>

namespace lpc {
namespace {

void fill_decoded(size_t index, const Part& part, const Slot& slot, ReadBuffers& buffers, Observer& observer) {
  const BlobHeader& header = part.blob().header();
  const uint64_t first_row = header.segment_first_row(index) - part.first_row;
  const MutableBytes out(slot.data + first_row * header.row_bytes, header.segment_decoded_bytes(index));
  part.blob().decode(index, part.of->source().fetch(index, buffers, observer), out, buffers, observer);
}

void fill_stored(size_t index, const Part& part, const Slot& slot, ReadBuffers& buffers, Observer& observer) {
  const auto& segments = part.header().segments;
  const uint64_t offset = segments[index].offset - segments[part.first_segment].offset;
  std::memcpy(slot.data + offset, part.of->source().fetch(index, buffers, observer).data(), segments[index].bytes);
}

void fill_transcoded(size_t index, const Part& part, const Slot& slot, ReadBuffers& buffers, Observer& observer) {
  TranscodedBlob& blob = *part.of->transcoded();
  const EncodedSegment encoded = blob.encode(index, buffers, observer);
  const uint64_t offset = part.ring_offset(index - part.first_segment);
  blob.place(index, offset, encoded);
  std::memcpy(slot.data + offset, buffers.encoded.data(), encoded.bytes);
}

EncodedSegment encode_or_skip(size_t index, const Job& job, const Part& part, TranscodeQueue& queue,
                              ReadBuffers& buffers, Observer& observer) {
  try {
    return part.of->transcoded()->encode(index, buffers, observer);
  } catch (...) {
    queue.skip(job.turn);
    throw;
  }
}

void fill_queued(size_t index, const Job& job, const Part& part, Slot& slot, TranscodeQueue& queue,
                 ReadBuffers& buffers, Observer& observer) {
  const auto begin = Clock::now();
  const EncodedSegment encoded = encode_or_skip(index, job, part, queue, buffers, observer);
  uint8_t* place = queue.place(job.turn, slot.place, job.segment, encoded.bytes, part.most_bytes());
  if (place == nullptr) return;  // one before it failed, and so will the part
  part.of->transcoded()->place(index, static_cast<uint64_t>(place - slot.place.data), encoded);
  observer.note_transcoded(part.blob().header().segments[index].bytes, encoded.bytes, begin);
  std::memcpy(place, buffers.encoded.data(), encoded.bytes);
}

}  // namespace

void fill_segment(const Job& job, const Part& part, Slot& slot, TranscodeQueue& queue, ReadBuffers& buffers,
                  Observer& observer) {
  const size_t index = part.first_segment + job.segment;
  if (job.segment >= part.segment_count) return;  // of a weight without elements
  if (part.is_queued()) return fill_queued(index, job, part, slot, queue, buffers, observer);
  switch (part.form()) {
    case Form::kDecoded: return fill_decoded(index, part, slot, buffers, observer);
    case Form::kStored: return fill_stored(index, part, slot, buffers, observer);
    case Form::kTranscoded: return fill_transcoded(index, part, slot, buffers, observer);
  }
}

}  // namespace lpc
