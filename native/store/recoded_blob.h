// A weight that stays in memory in another codec than the file has: decoded and encoded anew while it is read, a
// segment at a time, so that at no time more than one decoded segment a thread is in memory. Segments keep their rows.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "codecs/codec.h"
#include "store/stored_blob.h"

namespace lpc {

class RecodedBlob {
 public:
  // `to` is a codec whose tables can be made for a part of the tensor.
  RecodedBlob(std::shared_ptr<const StoredBlob> from, const Codec& to);

  const Codec& codec() const { return codec_; }
  // Of the blob in memory. Its tables are there once a segment is encoded, a segment's entry once it is placed.
  const BlobHeader& header() const { return header_; }

  // Makes `buffers` large enough for any segment.
  void reserve(ReadBuffers& buffers) const;

  // Reads, verifies, decodes and encodes segment `index`; the bytes are valid until the buffers are used again. Says in
  // `encoding` whether the codec took it. Any thread. Throws what StoredBlob::fetch and decode throw.
  Bytes encode(size_t index, ReadBuffers& buffers, Observer& observer, Encoding& encoding);

  // Notes where segment `index` lies: `offset` bytes from where its part begins.
  void place(size_t index, uint64_t offset, uint64_t bytes, Encoding encoding);

 private:
  // A segment that the tables were made from, kept until its turn so that it is read once.
  struct Sample {
    size_t index = 0;
    std::vector<uint8_t> stored;
  };

  void make_tables(ReadBuffers& buffers, Observer& observer);
  std::vector<uint8_t> take_sample(size_t index);
  Bytes decode(size_t index, Bytes stored, ReadBuffers& buffers, Observer& observer) const;
  SegmentShape shape(size_t index) const;

  const std::shared_ptr<const StoredBlob> from_;
  const Codec& codec_;
  BlobHeader header_;
  std::mutex mutex_;  // guards making the tables, and the samples
  bool has_tables_ = false;
  std::vector<Sample> samples_;
};

}  // namespace lpc
