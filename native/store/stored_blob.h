// One compressed weight in the weight file: where it lies, what it is, how to read a piece of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codecs/blob.h"
#include "store/weight_file.h"

namespace lpc {

// Buffers of one reading thread; grown when a blob is announced, never while reading.
struct ReadBuffers {
  std::vector<uint8_t> stored;
  std::vector<uint8_t> scratch;
};

class StoredBlob {
 public:
  // Reads and checks the header; throws Error naming file, tensor, field and offset.
  StoredBlob(std::shared_ptr<const WeightFile> file, std::string tensor, int64_t layer, uint64_t offset,
             uint64_t bytes);

  const std::string& tensor() const { return tensor_; }
  int64_t layer() const { return layer_; }
  uint64_t offset() const { return offset_; }
  const BlobHeader& header() const { return header_; }

  // Makes `buffers` large enough for read_segment of this blob.
  void reserve(ReadBuffers& buffers) const;

  // Reads, verifies and decodes segment `index` into `out` (segment_decoded_bytes). Returns the bytes read.
  // Allocates nothing. Throws Error naming file, tensor and segment.
  uint64_t read_segment(size_t index, MutableBytes out, ReadBuffers& buffers) const;

 private:
  std::shared_ptr<const WeightFile> file_;
  std::string tensor_;
  int64_t layer_;
  uint64_t offset_;
  BlobHeader header_;
};

}  // namespace lpc
