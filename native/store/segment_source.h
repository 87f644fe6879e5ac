// Where the stored bytes of a blob's segments come from: from its file whenever they are wanted, or from memory once
// they have been read.
#pragma once

#include <memory>
#include <vector>

#include "store/stored_blob.h"

namespace lpc {

class SegmentSource {
 public:
  explicit SegmentSource(std::shared_ptr<const StoredBlob> blob) : blob_(std::move(blob)) {}
  virtual ~SegmentSource() = default;
  SegmentSource(const SegmentSource&) = delete;
  SegmentSource& operator=(const SegmentSource&) = delete;

  const StoredBlob& blob() const { return *blob_; }

  // Memory that it needs to keep what it read, and the memory, before the first fetch. It outlives this.
  virtual uint64_t kept_bytes() const { return 0; }
  virtual void keep_in(uint8_t*) {}

  // The verified stored bytes of segment `index`; valid until the buffers are used again. Allocates nothing. Threads
  // may fetch different segments at a time. Throws what StoredBlob::fetch throws.
  virtual Bytes fetch(size_t index, ReadBuffers& buffers, Observer& observer) {
    return blob_->fetch(index, buffers, observer);
  }

 private:
  const std::shared_ptr<const StoredBlob> blob_;
};

// Reads each segment once.
class KeptSource final : public SegmentSource {
 public:
  explicit KeptSource(std::shared_ptr<const StoredBlob> blob);

  uint64_t kept_bytes() const override;
  void keep_in(uint8_t* memory) override { memory_ = memory; }
  Bytes fetch(size_t index, ReadBuffers& buffers, Observer& observer) override;

 private:
  uint8_t* memory_ = nullptr;
  std::vector<uint8_t> is_kept_;  // one a segment
};

}  // namespace lpc
