// The weight file (model.lpc): positioned reads, counted and checked. Knows nothing of what the bytes mean.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace lpc {

// Which file and which version of it: equal ids mean equal bytes.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  auto operator<=>(const FileId&) const = default;
};

class WeightFile {
 public:
  // Throws LPC_NOT_FOUND or LPC_IO_ERROR naming the file.
  explicit WeightFile(const std::string& path);
  ~WeightFile();
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;

  // Reads exactly `bytes` bytes or throws LPC_IO_ERROR naming file, offset and what was got. Any thread.
  void read(uint64_t offset, void* destination, uint64_t bytes) const;

  const std::string& path() const { return path_; }
  const FileId& id() const { return id_; }
  uint64_t size_bytes() const { return id_.bytes; }

 private:
  std::string path_;
  int descriptor_ = -1;
  FileId id_;
};

}  // namespace lpc
