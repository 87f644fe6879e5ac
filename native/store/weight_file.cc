#include "store/weight_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "store/data_file.h"

namespace lpc {
namespace {

constexpr uint64_t kPage = WeightFile::kPageBytes;

uint64_t page_floor(uint64_t bytes) { return bytes / kPage * kPage; }
uint64_t page_ceil(uint64_t bytes) { return page_floor(bytes + kPage - 1); }

void release_pages(int descriptor, uint64_t offset, uint64_t bytes) {
  posix_fadvise(descriptor, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
}

}  // namespace

void StagingBuffer::reserve(size_t bytes) {
  if (bytes <= memory_.size()) return;
  memory_ = MappedMemory();  // give back before taking
  memory_ = MappedMemory(page_ceil(whole_huge_pages(bytes)));
}

WeightFile::WeightFile(const std::string& path, const FileOptions& options)
    : path_(path), limiter_(options.bus_limit_bytes_per_s), trial_(options.mode) {
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a named pipe would wait for its writer
  if (descriptor_ < 0) {
    const int reason = errno;
    throw Error(reason == ENOENT ? LPC_NOT_FOUND : LPC_IO_ERROR,
                path + ": cannot open the weight file: " + std::strerror(reason));
  }
  struct stat status{};
  if (fstat(descriptor_, &status) != 0) {
    const int reason = errno;
    close(descriptor_);
    throw Error(LPC_IO_ERROR, path + ": cannot stat the weight file: " + std::strerror(reason));
  }
  try {
    require_regular(path, status.st_mode);
  } catch (...) {
    close(descriptor_);
    throw;
  }
  id_ = {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
         static_cast<uint64_t>(status.st_size),
         static_cast<int64_t>(status.st_mtim.tv_sec) * 1000000000 + status.st_mtim.tv_nsec};
  // The store asks for exactly what it needs and when; read-ahead of neighbours would only fill the page cache.
  posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);
  direct_descriptor_ = open_direct(options.mode);
  if (direct_descriptor_ < 0) trial_.decide(ReadMode::kBuffered);
}

WeightFile::~WeightFile() {
  if (direct_descriptor_ >= 0) close(direct_descriptor_);
  close(descriptor_);
}

// Some file systems take O_DIRECT at open and refuse the first read: so one page is read to find out.
int WeightFile::open_direct(ReadMode mode) const {
  if (mode == ReadMode::kBuffered) return -1;
  const int descriptor = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  bool works = descriptor >= 0;
  if (works && size_bytes() > 0) {
    StagingBuffer page;
    page.reserve(kPage);
    works = pread(descriptor, page.data(), kPage, 0) > 0;
  }
  if (works) return descriptor;
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  if (mode == ReadMode::kDirect) {
    close(descriptor_);
    throw Error(LPC_UNSUPPORTED, path_ + ": this file system refuses direct reads (" + std::strerror(reason) +
                                     "); use read_mode auto or buffered");
  }
  return -1;
}

void WeightFile::read(uint64_t offset, void* destination, uint64_t bytes) const {
  read_from(descriptor_, offset, static_cast<uint8_t*>(destination), bytes, bytes, nullptr);
}

uint8_t* WeightFile::stream(uint64_t offset, uint64_t bytes, StagingBuffer& staging,
                            const std::atomic<bool>* give_up) const {
  limiter_.take(bytes, give_up);
  require_wanted(give_up);
  const ReadMode mode = trial_.next(bytes);
  const bool on_trial = trial_.decision() == ReadMode::kAuto;
  // What happens to be in the page cache would make buffered reads look fast for once.
  if (on_trial && mode == ReadMode::kBuffered) release_pages(descriptor_, offset, bytes);
  const auto begin = std::chrono::steady_clock::now();
  uint8_t* data = mode == ReadMode::kDirect ? stream_direct(offset, bytes, staging, give_up)
                                            : stream_buffered(offset, bytes, staging, give_up);
  if (on_trial) trial_.add(mode, bytes, std::chrono::steady_clock::now() - begin);
  return data;
}

uint8_t* WeightFile::stream_buffered(uint64_t offset, uint64_t bytes, StagingBuffer& staging, GiveUp give_up) const {
  read_from(descriptor_, offset, staging.data(), bytes, bytes, give_up);
  release_pages(descriptor_, offset, bytes);
  return staging.data();
}

uint8_t* WeightFile::stream_direct(uint64_t offset, uint64_t bytes, StagingBuffer& staging, GiveUp give_up) const {
  const uint64_t begin = page_floor(offset);
  read_from(direct_descriptor_, begin, staging.data(), page_ceil(offset + bytes) - begin, offset + bytes - begin,
            give_up);
  return staging.data() + (offset - begin);
}

void WeightFile::require_wanted(GiveUp give_up) const {
  if (give_up != nullptr && give_up->load()) throw unwanted();
}

Error WeightFile::unwanted() const { return {LPC_CANCELLED, path_ + ": nobody waits for this read any more"}; }

// One call of pread, and how it went.
ssize_t WeightFile::call(int descriptor, uint64_t offset, uint8_t* out, uint64_t bytes, GiveUp give_up) const {
  const bool in_turn = pace_.takes_turns();
  if (in_turn && !turns_.take(give_up)) throw unwanted();
  const uint64_t piece = std::min(bytes, pace_.bytes());
  const auto begin = std::chrono::steady_clock::now();
  const ssize_t got = pread(descriptor, out, piece, static_cast<off_t>(offset));
  const int reason = errno;
  pace_.add(piece, std::chrono::steady_clock::now() - begin);
  if (in_turn) turns_.leave();
  errno = reason;
  return got;
}

// Reads up to `bytes` bytes; the end of the file may come after `wanted` of them.
void WeightFile::read_from(int descriptor, uint64_t offset, uint8_t* out, uint64_t bytes, uint64_t wanted,
                           GiveUp give_up) const {
  uint64_t done = 0;
  while (done < wanted) {
    require_wanted(give_up);
    const ssize_t got = call(descriptor, offset + done, out + done, bytes - done, give_up);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(LPC_IO_ERROR, path_ + ": read of " + std::to_string(bytes) + " bytes at offset " +
                                    std::to_string(offset) + " failed: " + std::strerror(errno));
    }
    if (got == 0) {
      throw Error(LPC_IO_ERROR, path_ + ": the file ends at " + std::to_string(offset + done) + ", expected " +
                                    std::to_string(wanted) + " bytes at offset " + std::to_string(offset) +
                                    ": it is truncated or changed while running");
    }
    const uint64_t now_done = done + static_cast<uint64_t>(got);
    const bool goes_on = descriptor == direct_descriptor_ && now_done < wanted;
    if (goes_on && page_floor(now_done) == done) descriptor = descriptor_;  // a direct read begins at a page only
    done = goes_on ? page_floor(now_done) : now_done;
  }
}

}  // namespace lpc
