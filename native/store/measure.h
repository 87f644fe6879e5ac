// How fast this machine reads memory and files: the figures that a plan is made from.
#pragma once

#include <cstdint>
#include <string>

namespace lpc {

struct Measured {
  uint64_t bytes = 0;
  uint64_t nanoseconds = 0;
};

// Reads `bytes` bytes of fresh memory over and over with `threads` threads (0: one a core) for about `seconds`, and
// gives the fastest pass. Throws LPC_INVALID_ARGUMENT, LPC_OUT_OF_MEMORY.
Measured measure_memory_read(uint64_t bytes, unsigned threads, double seconds);

struct FileRead {
  uint32_t block_bytes = 1 << 20;
  uint32_t queue_depth = 1;  // blocks in flight, each read by a thread of its own
  bool direct = false;       // O_DIRECT, around the page cache; else the file's pages are dropped first
  uint64_t offset = 0;       // where to begin; wraps around at the end of the file
  double seconds = 0.5;      // stops then, or when the whole file has been read once
};

// Throws LPC_UNSUPPORTED where the file system refuses direct reads, LPC_NOT_FOUND, LPC_IO_ERROR,
// LPC_INVALID_ARGUMENT.
Measured measure_file_read(const std::string& path, const FileRead& read);

}  // namespace lpc
