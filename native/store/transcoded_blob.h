// A weight that is in memory in another codec than the file has: decoded and encoded anew while it is read, a segment
// at a time, so that at no time more than one decoded segment a thread is in memory. Segments keep their rows.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "codecs/segment_writer.h"
#include "codecs/transcode.h"
#include "store/segment_source.h"

namespace lpc {

class TranscodedBlob {
 public:
  // `to` is a codec whose tables can be made for a part of the tensor.
  TranscodedBlob(std::shared_ptr<SegmentSource> from, const Codec& to);

  const Codec& codec() const { return transcoder_.codec(); }
  // Of the blob in memory. Its tables are there once a segment is encoded, a segment's entry once it is placed.
  const BlobHeader& header() const { return header_; }

  // Makes `buffers` large enough for any segment.
  void reserve(ReadBuffers& buffers) const;

  // Reads, verifies, decodes and encodes segment `index` into `buffers.encoded`. Any thread. The same segment gives the
  // same bytes every time. Throws what fetching and decoding throw.
  EncodedSegment encode(size_t index, ReadBuffers& buffers, Observer& observer);

  // Notes where segment `index` lies: `offset` bytes from where its part begins.
  void place(size_t index, uint64_t offset, const EncodedSegment& encoded);

 private:
  class Reader;
  // A segment that the tables were made from, kept until it is encoded so that it is read once.
  struct Sample {
    size_t index = 0;
    std::vector<uint8_t> stored;
  };

  void make_tables(ReadBuffers& buffers, Observer& observer);
  std::vector<uint8_t> take_sample(size_t index);

  const std::shared_ptr<SegmentSource> from_;
  const Transcoder transcoder_;
  BlobHeader header_;
  std::mutex mutex_;  // guards making the tables, and the samples
  bool has_tables_ = false;
  std::vector<Sample> samples_;
};

}  // namespace lpc
