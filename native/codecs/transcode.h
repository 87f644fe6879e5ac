// A blob in another codec: decoded and encoded anew a segment at a time, so that the decoded tensor is never in memory
// as a whole. Segments keep their rows.
#pragma once

#include "codecs/blob.h"
#include "codecs/codec.h"

namespace lpc {

// Gives one thread the segments of the blob that is transcoded.
class SegmentReader {
 public:
  virtual ~SegmentReader() = default;
  // The stored bytes of a segment, verified; valid until the next call.
  virtual Bytes fetch(size_t index) = 0;
  // Decodes what fetch gave into `out` (segment_decoded_bytes).
  virtual void decode(size_t index, Bytes stored, MutableBytes out) = 0;
};

// What is done to each segment, whether the blob lies in memory or is read from a file. The new segments are made by
// encode_segment (codecs/segment_writer.h).
class Transcoder {
 public:
  // `from` outlives this. Throws LPC_UNSUPPORTED for a codec whose tables need the whole tensor.
  Transcoder(const BlobHeader& from, const Codec& to);

  const Codec& codec() const { return codec_; }
  // Of the new blob, without what comes with encoding: codec parameters, segment entries and sizes.
  BlobHeader plan() const;

  // Bytes that decode and make_params need as `room`, and encode_segment as scratch.
  size_t decoded_bytes() const;
  size_t encode_scratch_bytes() const;

  // Codec parameters of the new blob, made from segments that lie evenly over the tensor; fetches each of them once.
  std::vector<uint8_t> make_params(SegmentReader& reader, MutableBytes room) const;

  // The decoded bytes of a segment: in what `reader` fetched if it is raw, else in `room`.
  Bytes decode(size_t index, SegmentReader& reader, MutableBytes room) const;

 private:
  const BlobHeader& from_;
  const Codec& codec_;
};

uint64_t transcode_bound(const BlobHeader& from, const lpc_encode_options& options);

// Returns the size of the new blob. `dst` needs transcode_bound bytes.
uint64_t transcode_blob(const BlobHeader& from, Bytes blob, const lpc_encode_options& options, MutableBytes dst);

}  // namespace lpc
