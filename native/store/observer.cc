#include "store/observer.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

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

}  // namespace

Trace::Trace(const std::string& path)
    : path_(path), start_(Clock::now()), events_(std::make_unique_for_overwrite<Event[]>(kCapacity)) {
  std::FILE* file = std::fopen(path.c_str(), "w");
  if (file == nullptr) throw Error(LPC_IO_ERROR, path + ": cannot write the trace here");
  std::fclose(file);
}

void Trace::add(const char* kind, int64_t layer, Clock::time_point begin, Clock::time_point end) {
  const size_t index = count_++;
  if (index >= kCapacity) return;
  events_[index] = {kind, layer, nanoseconds(begin - start_), nanoseconds(end - begin), thread_number()};
}

Trace::~Trace() {
  if (process_number() != made_in_) return;
  std::FILE* file = std::fopen(path_.c_str(), "w");
  if (file == nullptr) return;
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
  std::fclose(file);
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
