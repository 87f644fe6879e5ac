// The weight file (model.lpc): positioned reads, checked. Knows nothing of what the bytes mean.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "store/cancel.h"
#include "store/limiter.h"
#include "store/memory.h"
#include "store/read_pace.h"
#include "store/read_trial.h"

namespace lpc {

// Which file and which version of it: equal ids mean equal bytes.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  auto operator<=>(const FileId&) const = default;
};

struct FileOptions {
  ReadMode mode = ReadMode::kAuto;  // kAuto: direct where the file system allows it and buffered reads are not faster
  uint64_t bus_limit_bytes_per_s = 0;
};

// Page-aligned memory that a direct read can fill; grows, never shrinks. On a huge page where there are any: a disk
// fills one piece of memory faster than hundreds of pages.
class StagingBuffer {
 public:
  // Throws LPC_OUT_OF_MEMORY.
  void reserve(size_t bytes);
  uint8_t* data() const { return memory_.data(); }
  size_t size() const { return memory_.size(); }

 private:
  MappedMemory memory_;
};

class WeightFile {
 public:
  static constexpr uint64_t kPageBytes = 4096;

  // Throws LPC_NOT_FOUND or LPC_IO_ERROR naming the file.
  WeightFile(const std::string& path, const FileOptions& options);
  ~WeightFile();
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;

  // Reads exactly `bytes` bytes or throws LPC_IO_ERROR naming file, offset and what was got. Any thread.
  void read(uint64_t offset, void* destination, uint64_t bytes) const;

  // The same for weights that are streamed: past the page cache where that can be had, else leaving nothing in it, and
  // under the bus limit. Returns where in `staging` the bytes are; staging has staging_bytes(bytes) or more. Throws
  // LPC_CANCELLED soon after `give_up` (may be null) has become true, however slow the device.
  uint8_t* stream(uint64_t offset, uint64_t bytes, StagingBuffer& staging,
                  const std::atomic<bool>* give_up = nullptr) const;
  static size_t staging_bytes(uint64_t bytes) { return bytes + 2 * kPageBytes; }

  const std::string& path() const { return path_; }
  const FileId& id() const { return id_; }
  uint64_t size_bytes() const { return id_.bytes; }
  const ReadTrial& trial() const { return trial_; }

 private:
  int open_direct(ReadMode mode) const;
  using GiveUp = const std::atomic<bool>*;

  uint8_t* stream_direct(uint64_t offset, uint64_t bytes, StagingBuffer& staging, GiveUp give_up) const;
  uint8_t* stream_buffered(uint64_t offset, uint64_t bytes, StagingBuffer& staging, GiveUp give_up) const;
  void read_from(int descriptor, uint64_t offset, uint8_t* out, uint64_t bytes, uint64_t wanted, GiveUp give_up) const;
  ssize_t call(int descriptor, uint64_t offset, uint8_t* out, uint64_t bytes, GiveUp give_up) const;
  void require_wanted(GiveUp give_up) const;
  Error unwanted() const;

  std::string path_;
  int descriptor_ = -1;
  int direct_descriptor_ = -1;
  FileId id_;
  mutable RateLimiter limiter_;
  mutable ReadTrial trial_;
  mutable ReadPace pace_;
  mutable Turns turns_;
};

}  // namespace lpc
