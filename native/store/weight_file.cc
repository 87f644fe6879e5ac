#include "store/weight_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace lpc {

WeightFile::WeightFile(const std::string& path) : path_(path) {
  descriptor_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) {
    const int reason = errno;
    throw Error(reason == ENOENT ? LPC_NOT_FOUND : LPC_IO_ERROR,
                path + ": cannot open the weight file: " + std::strerror(reason));
  }
  struct stat status {};
  if (fstat(descriptor_, &status) != 0) {
    const int reason = errno;
    close(descriptor_);
    throw Error(LPC_IO_ERROR, path + ": cannot stat the weight file: " + std::strerror(reason));
  }
  id_ = {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
         static_cast<uint64_t>(status.st_size),
         static_cast<int64_t>(status.st_mtim.tv_sec) * 1000000000 + status.st_mtim.tv_nsec};
  // The store asks for exactly what it needs and when; read-ahead of neighbours would only fill the page cache.
  posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);
}

WeightFile::~WeightFile() { close(descriptor_); }

void WeightFile::read(uint64_t offset, void* destination, uint64_t bytes) const {
  auto* out = static_cast<uint8_t*>(destination);
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(descriptor_, out + done, bytes - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      throw Error(LPC_IO_ERROR, path_ + ": read of " + std::to_string(bytes) + " bytes at offset " +
                                    std::to_string(offset) + " failed: " + std::strerror(errno));
    }
    if (got == 0) {
      throw Error(LPC_IO_ERROR, path_ + ": the file ends at " + std::to_string(offset + done) + ", expected " +
                                    std::to_string(bytes) + " bytes at offset " + std::to_string(offset) +
                                    ": it is truncated or changed while running");
    }
    done += static_cast<uint64_t>(got);
  }
}

}  // namespace lpc
