// What the store and the provider did for one session: counters, and a timeline if asked for.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fork.h"
#include "store/read_trial.h"

namespace lpc {

struct Statistics {
  std::atomic<uint64_t> nodes_claimed{0};
  std::atomic<uint64_t> nodes_unclaimed{0};
  std::atomic<uint64_t> runs{0};
  std::atomic<uint64_t> bytes_read{0};
  std::atomic<uint64_t> bytes_decoded{0};
  std::atomic<uint64_t> blobs_decompressed{0};
  std::atomic<uint64_t> layers_decompressed{0};
  std::atomic<uint64_t> rows_fetched{0};
  std::atomic<uint64_t> wait_ns{0};
  std::atomic<uint64_t> read_ns{0};
  std::atomic<uint64_t> decode_ns{0};
  std::atomic<uint64_t> compute_ns{0};
  std::atomic<uint64_t> ring_bytes{0};
  std::atomic<uint64_t> pinned_bytes{0};
  std::atomic<uint64_t> layer{0};      // whose weights were asked for last
  std::atomic<uint64_t> read_mode{0};  // lpc_read_mode
  std::atomic<uint64_t> direct_bytes_per_s{0};
  std::atomic<uint64_t> buffered_bytes_per_s{0};
  std::atomic<uint64_t> encode_ns{0};
  std::atomic<uint64_t> transcoded_from_bytes{0};
  std::atomic<uint64_t> transcoded_bytes{0};
  std::atomic<uint64_t> transcode_ns{0};
};

using Clock = std::chrono::steady_clock;

// Timeline events of one session, kept in memory and written as a Chrome trace (chrome://tracing, Perfetto).
class Trace {
 public:
  // Throws LPC_IO_ERROR when the file cannot be written. What is there is replaced only once there are events, and by a
  // whole trace; streams (/dev/stdout) are written to, other files that are no regular ones are refused.
  explicit Trace(const std::string& path);
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // `kind` is a literal. Events beyond the capacity are dropped and counted. Any thread; allocates nothing.
  void add(const char* kind, int64_t layer, Clock::time_point begin, Clock::time_point end);

 private:
  struct Event {
    const char* kind;
    int64_t layer;
    int64_t begin_ns;
    int64_t duration_ns;
    int thread;
  };
  static constexpr size_t kCapacity = size_t{1} << 20;

  bool write(const std::string& path, const char* mode) const;

  const std::string path_;
  const bool is_stream_;
  const uint64_t made_in_ = process_number();  // a child of fork leaves the file to its parent
  const Clock::time_point start_;
  std::unique_ptr<Event[]> events_;  // untouched pages cost nothing
  std::atomic<size_t> count_{0};
};

struct Observer {
  Statistics statistics;
  // Of the session's running pass, or nullptr: true when nobody wants it any more.
  std::atomic<const std::atomic<bool>*> cancel{nullptr};
  std::unique_ptr<Trace> trace;                  // or nullptr
  std::atomic<Clock::rep> transcoding_since{0};  // the clock when the first weight was begun; 0: none was

  // Adds [begin, now) to `total` and to the trace.
  void record(std::atomic<uint64_t>& total, const char* kind, int64_t layer, Clock::time_point begin);

  // A segment that took `from_bytes` in the file is in memory in another codec, as `bytes`; work on it began at
  // `begin`.
  void note_transcoded(uint64_t from_bytes, uint64_t bytes, Clock::time_point begin);

  // How the weight file is read, as far as that is decided.
  void note_reading(const ReadTrial& trial);
};

}  // namespace lpc
