// A store over a weight file of its own and one session that runs passes, with an allocator that remembers.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>

#include "tests/temporary_weights.h"

namespace lpc::test {

inline constexpr size_t kBlobs = 8;
inline constexpr Home kHomes[] = {Home::kRing, Home::kMemory};
inline constexpr Form kForms[] = {Form::kDecoded, Form::kStored, Form::kTranscoded};

// Remembers what it has given and not got back.
class CountingAllocator final : public WeightAllocator {
 public:
  WeightMemory allocate(size_t bytes) override {
    const std::lock_guard lock(mutex_);
    auto memory = std::make_shared<MappedMemory>(bytes);
    uint8_t* data = memory->data();
    ++calls_;
    if (data != nullptr) live_[data] = bytes;
    return {data, [this, memory](uint8_t* gone) {
              const std::lock_guard lock(mutex_);
              live_.erase(gone);
            }};
  }

  bool gave(const uint8_t* data) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(live_.begin(), live_.end(),
                       [&](const auto& piece) { return data >= piece.first && data < piece.first + piece.second; });
  }
  uint64_t live_bytes() const {
    const std::lock_guard lock(mutex_);
    uint64_t bytes = 0;
    for (const auto& [data, size] : live_) bytes += size;
    return bytes;
  }
  size_t calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::map<const uint8_t*, size_t> live_;
  size_t calls_ = 0;
};

// A store over a file of its own, and one session.
class Session {
 public:
  explicit Session(const Placement& placement, size_t ring_bytes = 0, lpc_codec codec = LPC_CODEC_LZ4)
      : weights_(kBlobs, codec),
        schedule_(store_.share(std::make_shared<Schedule>(weights_.open({}, placement), ring_bytes))) {}
  ~Session() { store_.retire(std::move(schedule_)); }

  void begin(std::vector<size_t> wanted) { store_.begin_pass(schedule_, observer_, nullptr, wanted); }
  void begin() { store_.begin_pass(schedule_, observer_); }
  void want(std::vector<size_t> blobs) { store_.want(blobs); }
  void use(size_t blob) { test::use(store_, *schedule_, weights_, blob); }
  void end() { store_.end_pass(); }
  void pass(const std::vector<size_t>& blobs) {
    begin(blobs);
    for (const size_t blob : blobs) use(blob);
    end();
  }
  void whole_pass() {
    begin();
    for (size_t blob = 0; blob < kBlobs; ++blob) use(blob);
    end();
  }

  // What these blobs take in the file.
  uint64_t file_bytes(const std::vector<size_t>& blobs) const {
    uint64_t bytes = 0;
    for (const size_t blob : blobs) {
      for (const Segment& segment : schedule_->blobs()[blob].source().blob().header().segments) bytes += segment.bytes;
    }
    return bytes;
  }
  uint64_t file_bytes() const { return file_bytes({0, 1, 2, 3, 4, 5, 6, 7}); }
  uint64_t bytes_read() const { return observer_->statistics.bytes_read; }
  // Waits until the workers have read so much; false if it takes a minute.
  bool reads_until(uint64_t bytes) const {
    const auto begin = Clock::now();
    while (bytes_read() < bytes && Clock::now() - begin < std::chrono::minutes(1)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return bytes_read() >= bytes;
  }

  CountingAllocator& allocator() { return allocator_; }
  LayerStore& store() { return store_; }
  const std::shared_ptr<Schedule>& schedule() const { return schedule_; }
  const TemporaryWeights& weights() const { return weights_; }

 private:
  const TemporaryWeights weights_;
  CountingAllocator allocator_;
  LayerStore store_{3, allocator_};
  std::shared_ptr<Observer> observer_ = std::make_shared<Observer>();
  std::shared_ptr<Schedule> schedule_;
};

}  // namespace lpc::test
