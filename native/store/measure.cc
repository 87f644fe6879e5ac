#include "store/measure.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "store/memory.h"

namespace lpc {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kChunk = 1 << 20;     // memory that a thread reads at a time
constexpr uint64_t kAlignment = 4096;    // of direct reads: offsets, sizes and memory
constexpr uint32_t kMostInFlight = 256;  // threads
constexpr uint32_t kLargestBlock = 64 << 20;
constexpr double kLongest = 60;  // seconds

uint64_t nanoseconds_since(Clock::time_point begin) {
  const auto passed = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
  return std::max<uint64_t>(1, static_cast<uint64_t>(passed));
}

void require_seconds(double seconds) {
  if (!(seconds > 0 && seconds <= kLongest)) {
    throw Error(LPC_INVALID_ARGUMENT, "seconds: got " + std::to_string(seconds) + ", expected above 0, at most 60");
  }
}

// 16 bytes: what every machine that we know has registers for.
typedef uint64_t Vector __attribute__((vector_size(16)));

// Eight sums, so that loads do not wait for each other.
uint64_t sum(const uint8_t* data, uint64_t bytes) {
  Vector sums[8] = {};
  const auto* vectors = reinterpret_cast<const Vector*>(data);
  for (uint64_t at = 0; at < bytes / sizeof(Vector); at += 8) {
    for (int i = 0; i < 8; ++i) sums[i] += vectors[at + i];
  }
  Vector total = {};
  for (const Vector& part : sums) total += part;
  return total[0] + total[1];
}

class File {
 public:
  File(const std::string& path, bool direct) : path_(path) {
    descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    if (descriptor_ < 0) {
      const int error = errno;
      const bool refused = direct && error == EINVAL;
      throw Error(refused           ? LPC_UNSUPPORTED
                  : error == ENOENT ? LPC_NOT_FOUND
                                    : LPC_IO_ERROR,
                  path + ": cannot be opened" + (direct ? " for direct reads: " : ": ") + std::strerror(error));
    }
    struct stat status{};
    if (fstat(descriptor_, &status) == 0) bytes_ = static_cast<uint64_t>(status.st_size);
  }
  ~File() { close(descriptor_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  uint64_t bytes() const { return bytes_; }
  void drop_pages() const { posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED); }

  void read(void* destination, uint64_t bytes, uint64_t offset) const {
    const ssize_t got = pread(descriptor_, destination, bytes, static_cast<off_t>(offset));
    if (got == static_cast<ssize_t>(bytes)) return;
    const bool refused = got < 0 && errno == EINVAL;
    throw Error(refused ? LPC_UNSUPPORTED : LPC_IO_ERROR,
                path_ + ": read of " + std::to_string(bytes) + " bytes at offset " + std::to_string(offset) +
                    (got < 0 ? ": " + std::string(std::strerror(errno)) : ": got " + std::to_string(got)));
  }

 private:
  std::string path_;
  int descriptor_;
  uint64_t bytes_ = 0;
};

void require_read(const FileRead& read) {
  require_seconds(read.seconds);
  if (read.block_bytes < kAlignment || read.block_bytes > kLargestBlock || read.block_bytes % kAlignment != 0) {
    throw Error(LPC_INVALID_ARGUMENT, "block_bytes: got " + std::to_string(read.block_bytes) +
                                          ", expected a multiple of 4096 up to " + std::to_string(kLargestBlock));
  }
  if (read.queue_depth == 0 || read.queue_depth > kMostInFlight) {
    throw Error(LPC_INVALID_ARGUMENT, "queue_depth: got " + std::to_string(read.queue_depth) + ", expected 1 to " +
                                          std::to_string(kMostInFlight));
  }
}

// The readers of one measurement take blocks in file order from a common counter.
class Readers {
 public:
  Readers(const File& file, const FileRead& read)
      : file_(file), read_(read), blocks_(file.bytes() / read.block_bytes), begin_(Clock::now()) {}

  Measured run() {
    const MappedMemory memory(static_cast<uint64_t>(read_.block_bytes) * read_.queue_depth);
    std::vector<std::jthread> threads;  // join, also when one cannot be started
    for (uint32_t i = 1; i < read_.queue_depth; ++i) {
      threads.emplace_back(
          [this, buffer = memory.data() + static_cast<uint64_t>(i) * read_.block_bytes] { loop(buffer); });
    }
    loop(memory.data());
    threads.clear();
    if (failed_) std::rethrow_exception(error_);
    return {done_ * read_.block_bytes, nanoseconds_since(begin_)};
  }

 private:
  void loop(uint8_t* buffer) {
    const uint64_t first = read_.offset / read_.block_bytes;
    const auto limit = static_cast<uint64_t>(read_.seconds * 1e9);
    try {
      while (!failed_ && nanoseconds_since(begin_) < limit) {
        const uint64_t block = next_++;
        if (block >= blocks_) return;
        file_.read(buffer, read_.block_bytes, (first + block) % blocks_ * read_.block_bytes);
        ++done_;
      }
    } catch (const Error&) {
      if (!failed_.exchange(true)) error_ = std::current_exception();
    }
  }

  const File& file_;
  const FileRead& read_;
  const uint64_t blocks_;
  const Clock::time_point begin_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> done_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;  // written once, read after the threads have ended
};

}  // namespace

Measured measure_memory_read(uint64_t bytes, unsigned threads, double seconds) {
  require_seconds(seconds);
  const uint64_t chunks = bytes / kChunk;
  if (chunks == 0)
    throw Error(LPC_INVALID_ARGUMENT, "bytes: got " + std::to_string(bytes) + ", expected 1 MiB or more");
  const MappedMemory memory(chunks * kChunk);
  // Written by the threads that read it, so that every page is there and near.
  parallel_for(chunks, threads,
               [&](size_t i) { std::memset(memory.data() + i * kChunk, static_cast<int>(i), kChunk); });
  std::atomic<uint64_t> sink{0};
  Measured fastest{chunks * kChunk, UINT64_MAX};
  const auto begin = Clock::now();
  do {
    const auto pass = Clock::now();
    parallel_for(chunks, threads, [&](size_t i) { sink += sum(memory.data() + i * kChunk, kChunk); });
    fastest.nanoseconds = std::min(fastest.nanoseconds, nanoseconds_since(pass));
  } while (static_cast<double>(nanoseconds_since(begin)) < seconds * 1e9);
  return fastest;
}

Measured measure_file_read(const std::string& path, const FileRead& read) {
  require_read(read);
  const File file(path, read.direct);
  if (file.bytes() < read.block_bytes) {
    throw Error(LPC_INVALID_ARGUMENT, path + ": has " + std::to_string(file.bytes()) +
                                          " bytes, expected at least a block of " + std::to_string(read.block_bytes));
  }
  if (!read.direct) file.drop_pages();
  return Readers(file, read).run();
}

}  // namespace lpc
