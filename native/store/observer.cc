#include "store/observer.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/error.h"

namespace lpc {
namespace {

int64_t nanoseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

// Small numbers in order of first use: threads have no names that a reader would know.
int thread_number() {
  static std::atomic<int> next{0};
  thread_local const int number = next++;
  return number;
}

// A file of this process or a device, which is written to as it is.
bool is_stream(const std::string& path) { return path.starts_with("/dev/") || path.starts_with("/proc/self/fd/"); }

// The file itself, where a symbolic link leads to it.
std::string target_of(const std::string& path) {
  std::error_code error;
  const auto target = std::filesystem::canonical(path, error);
  return error || is_stream(path) ? path : target.string();
}

}  // namespace

Trace::Trace(const std::string& path)
    : path_(target_of(path)),
      is_stream_(is_stream(path)),
      start_(Clock::now()),
      events_(std::make_unique_for_overwrite<Event[]>(kCapacity)) {
  std::error_code none;
  const auto status = std::filesystem::status(path_, none);
  if (!is_stream_ && std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    throw Error(LPC_IO_ERROR, path + ": cannot write the trace here: expected a regular file");
  }
  const std::string place = is_stream_ ? path_ : std::filesystem::path(path_).parent_path().string();
  if (access(place.empty() ? "." : place.c_str(), W_OK) != 0) {
    throw Error(LPC_IO_ERROR, path + ": cannot write the trace here");
  }
}

void Trace::add(const char* kind, int64_t layer, Clock::time_point begin, Clock::time_point end) {
  const size_t index = count_++;
  if (index >= kCapacity) return;
  events_[index] = {kind, layer, nanoseconds(begin - start_), nanoseconds(end - begin), thread_number()};
}

Trace::~Trace() {
  if (process_number() != made_in_ || count_ == 0) return;
  if (is_stream_) {
    write(path_, "a");
    return;
  }
  const std::string partial = path_ + "." + std::to_string(getpid()) + ".partial";
  if (!write(partial, "wx")) return;
  if (std::rename(partial.c_str(), path_.c_str()) != 0) std::remove(partial.c_str());
}

bool Trace::write(const std::string& path, const char* mode) const {
  std::FILE* file = std::fopen(path.c_str(), mode);
  if (file == nullptr) return false;
  const size_t written = std::min(count_.load(), kCapacity);
  std::fprintf(file, "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"dropped_events\":%zu},\"traceEvents\":[",
               count_.load() - written);
  for (size_t i = 0; i < written; ++i) {
    const Event& event = events_[i];
    std::fprintf(file,
                 "%s\n{\"name\":\"%s\",\"cat\":\"lpc\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,\"pid\":%d,\"tid\":%d,"
                 "\"args\":{\"layer\":%lld}}",
                 i == 0 ? "" : ",", event.kind, static_cast<double>(event.begin_ns) / 1e3,
                 static_cast<double>(event.duration_ns) / 1e3, static_cast<int>(getpid()), event.thread,
                 static_cast<long long>(event.layer));
  }
  std::fprintf(file, "\n]}\n");
  const bool failed = std::ferror(file) != 0;
  if (std::fclose(file) == 0 && !failed) return true;
  if (!is_stream_) std::remove(path.c_str());
  return false;
}

void Observer::record(std::atomic<uint64_t>& total, const char* kind, int64_t layer, Clock::time_point begin) {
  const auto end = Clock::now();
  total += static_cast<uint64_t>(nanoseconds(end - begin));
  if (trace != nullptr) trace->add(kind, layer, begin, end);
}

void Observer::note_transcoded(uint64_t from_bytes, uint64_t bytes, Clock::time_point begin) {
  Clock::rep since = 0;
  if (transcoding_since.compare_exchange_strong(since, begin.time_since_epoch().count())) {
    since = begin.time_since_epoch().count();
  }
  statistics.transcoded_from_bytes += from_bytes;
  statistics.transcoded_bytes += bytes;
  statistics.transcode_ns =
      static_cast<uint64_t>(nanoseconds(Clock::now().time_since_epoch() - Clock::duration(since)));
}

void Observer::note_reading(const ReadTrial& trial) {
  const ReadMode mode = trial.decision();
  if (mode == ReadMode::kAuto || statistics.read_mode != LPC_READ_UNDECIDED) return;
  statistics.direct_bytes_per_s = trial.rate(ReadMode::kDirect);
  statistics.buffered_bytes_per_s = trial.rate(ReadMode::kBuffered);
  statistics.read_mode = mode == ReadMode::kDirect ? LPC_READ_DIRECT : LPC_READ_BUFFERED;
}

}  // namespace lpc
