// One compressed weight in the weight file: where it lies, what it is, how to read a piece of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "codecs/blob.h"
#include "store/observer.h"
#include "store/weight_file.h"

namespace lpc {

// Buffers of one reading thread; grown when a blob is announced, never while reading.
struct ReadBuffers {
  const std::atomic<bool>* give_up = nullptr;  // when it is true nobody wants what is being read
  StagingBuffer staging;
  std::vector<uint8_t> scratch;
  std::vector<uint8_t> decoded, encoded, encode_scratch;  // of a transcoded segment
};

class StoredBlob {
 public:
  // Reads and checks the header; throws Error naming file, tensor, field and offset.
  StoredBlob(std::shared_ptr<const WeightFile> file, std::string tensor, int64_t layer, uint64_t offset,
             uint64_t bytes);

  const WeightFile& file() const { return *file_; }
  const std::string& tensor() const { return tensor_; }
  int64_t layer() const { return layer_; }
  uint64_t offset() const { return offset_; }
  const BlobHeader& header() const { return header_; }

  // Makes `buffers` large enough for any segment of this blob.
  void reserve(ReadBuffers& buffers) const;

  // Reads and verifies segment `index`; the stored bytes are valid until the buffers are used again.
  // This and decode allocate nothing and throw Error naming file, tensor and segment.
  Bytes fetch(size_t index, ReadBuffers& buffers, Observer& observer) const;

  // Decodes the stored bytes of segment `index` into `out` (segment_decoded_bytes).
  void decode(size_t index, Bytes stored, MutableBytes out, ReadBuffers& buffers, Observer& observer) const;

 private:
  Error named(const Error& error, size_t segment) const;

  std::shared_ptr<const WeightFile> file_;
  std::string tensor_;
  int64_t layer_;
  uint64_t offset_;
  BlobHeader header_;
};

}  // namespace lpc
