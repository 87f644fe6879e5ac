// The layer store without ONNX Runtime: ring, limiter, file, passes in and out of order, many sessions, faults.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

#include "store/layer_store.h"
#include "tests/main.h"

namespace lpc {
namespace {

constexpr uint64_t kColumns = 64;

// A weight file of some blobs with known contents, removed with the object.
class TemporaryWeights {
 public:
  explicit TemporaryWeights(size_t blobs) {
    char name[] = "/tmp/lpc_store_test_XXXXXX";
    const int descriptor = mkstemp(name);
    close(descriptor);
    path_ = name;
    std::FILE* file = std::fopen(name, "wb");
    for (size_t i = 0; i < blobs; ++i) write_blob(file, i);
    std::fclose(file);
  }
  ~TemporaryWeights() { unlink(path_.c_str()); }

  const std::string& path() const { return path_; }
  const std::vector<uint8_t>& expected(size_t blob) const { return contents_[blob]; }

  std::vector<ScheduledBlob> open(const FileOptions& options, Residence residence) const {
    const auto file = std::make_shared<const WeightFile>(path_, options);
    std::vector<ScheduledBlob> blobs;
    for (size_t i = 0; i < contents_.size(); ++i) {
      auto blob = std::make_shared<const StoredBlob>(file, std::string("w").append(std::to_string(i)),
                                                     static_cast<int64_t>(i / 2), offsets_[i], bytes_[i]);
      blobs.push_back({std::move(blob), residence});
    }
    return blobs;
  }

 private:
  void write_blob(std::FILE* file, size_t seed) {
    const uint64_t rows = 40 + 13 * seed;
    std::mt19937 random(static_cast<unsigned>(seed));
    std::vector<uint8_t> content(rows * kColumns);
    for (uint8_t& byte : content) byte = static_cast<uint8_t>(random() % 16);
    const lpc_tensor_desc tensor{LPC_DTYPE_INT8, 2, {rows, kColumns, 0, 0}};
    const lpc_encode_options options{sizeof(lpc_encode_options), LPC_CODEC_LZ4, 512, 1, 0, 0, 0};
    uint64_t bound = 0;
    CHECK(lpc_encode_bound(&tensor, &options, &bound) == LPC_OK);
    std::vector<uint8_t> blob(bound);
    uint64_t written = 0;
    CHECK(lpc_encode(&tensor, &options, content.data(), content.size(), blob.data(), bound, &written) == LPC_OK);
    const uint64_t offset = (offsets_.empty() ? 0 : offsets_.back() + bytes_.back() + 4095) / 4096 * 4096;
    std::fseek(file, static_cast<long>(offset), SEEK_SET);
    std::fwrite(blob.data(), 1, written, file);
    offsets_.push_back(offset);
    bytes_.push_back(written);
    contents_.push_back(std::move(content));
  }

  std::string path_;
  std::vector<uint64_t> offsets_;
  std::vector<uint64_t> bytes_;
  std::vector<std::vector<uint8_t>> contents_;
};

void use(LayerStore& store, const Schedule& schedule, const TemporaryWeights& weights, size_t blob) {
  for (size_t index = schedule.first_part(blob); index < schedule.first_part(blob + 1); ++index) {
    const uint8_t* data = store.acquire(index);
    const Part& part = schedule.part(index);
    const uint8_t* expected = weights.expected(blob).data() + part.first_row * kColumns;
    CHECK(std::memcmp(data, expected, part.decoded_bytes()) == 0);
    store.release(index);
  }
}

TEST(test_ring_hands_out_in_order_and_takes_back_in_any) {
  Ring ring;
  ring.resize(64 * 10, 10);
  uint8_t* a = ring.allocate(64 * 4);
  uint8_t* b = ring.allocate(64 * 4);
  CHECK(a != nullptr && b == a + 64 * 4);
  CHECK(ring.allocate(64 * 3) == nullptr);
  ring.release(b);
  CHECK(ring.allocate(64 * 3) == nullptr);  // the older piece still stands before it
  ring.release(a);
  uint8_t* c = ring.allocate(64 * 10);
  CHECK(c == a);
  CHECK(ring.allocate(1) == nullptr);
}

TEST(test_ring_wraps_around_and_never_overlaps) {
  Ring ring;
  ring.resize(1 << 12, 64);
  std::mt19937 random(7);
  std::vector<std::pair<uint8_t*, size_t>> held;
  for (int step = 0; step < 20000; ++step) {
    const size_t bytes = 1 + random() % 900;
    uint8_t* piece = ring.allocate(bytes);
    if (piece != nullptr) {
      for (const auto& [other, size] : held) CHECK(piece + bytes <= other || other + size <= piece);
      held.emplace_back(piece, bytes);
    }
    if (!held.empty() && (piece == nullptr || random() % 3 == 0)) {
      const size_t victim = random() % held.size();
      ring.release(held[victim].first);
      held.erase(held.begin() + static_cast<long>(victim));
    }
  }
}

TEST(test_limiter_four_threads_take_no_faster_than_the_bus) {
  RateLimiter limiter(1'000'000);
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 5; ++j) limiter.take(5'000);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(Clock::now() - begin >= std::chrono::milliseconds(100));
}

TEST(test_store_every_residence_and_read_mode_gives_the_contents) {
  const TemporaryWeights weights(9);
  for (Residence residence : {Residence::kStreamed, Residence::kResident, Residence::kDecoded}) {
    for (ReadMode mode : {ReadMode::kAuto, ReadMode::kBuffered}) {
      LayerStore store(3);
      const auto observer = std::make_shared<Observer>();
      auto schedule = store.share(std::make_shared<Schedule>(weights.open({mode, 0}, residence), 0));
      for (int pass = 0; pass < 6; ++pass) {
        store.begin_pass(schedule, observer);
        for (size_t blob = 0; blob < 9; ++blob) use(store, *schedule, weights, blob);
        store.end_pass();
      }
      store.retire(std::move(schedule));
    }
  }
}

TEST(test_store_passes_out_of_order_or_cut_short_stay_right) {
  const TemporaryWeights weights(8);
  LayerStore store(2);
  const auto observer = std::make_shared<Observer>();
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({}, Residence::kStreamed), 0));
  std::mt19937 random(11);
  for (int pass = 0; pass < 60; ++pass) {
    std::vector<size_t> order{0, 1, 2, 3, 4, 5, 6, 7};
    std::shuffle(order.begin(), order.end(), random);
    if (pass % 3 == 0) order.resize(random() % 8);
    store.begin_pass(schedule, observer);
    for (size_t blob : order) use(store, *schedule, weights, blob);
    store.end_pass();
  }
  store.retire(std::move(schedule));
}

TEST(test_store_sessions_on_two_schedules_from_many_threads_take_turns) {
  const TemporaryWeights weights(6);
  LayerStore store(2);
  const auto streamed = store.share(std::make_shared<Schedule>(weights.open({}, Residence::kStreamed), 0));
  const auto decoded = store.share(std::make_shared<Schedule>(weights.open({}, Residence::kDecoded), 0));
  CHECK(store.share(std::make_shared<Schedule>(weights.open({}, Residence::kDecoded), 0)) == decoded);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const auto observer = std::make_shared<Observer>();
      const auto& schedule = i % 2 == 0 ? streamed : decoded;
      for (int pass = 0; pass < 15; ++pass) {
        store.begin_pass(schedule, observer);
        for (size_t blob = 0; blob < 6; ++blob) use(store, *schedule, weights, blob);
        store.end_pass();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(test_store_file_cut_while_running_is_an_error_that_names_tensor_and_segment) {
  const TemporaryWeights weights(4);
  LayerStore store(2);
  const auto observer = std::make_shared<Observer>();
  auto schedule =
      store.share(std::make_shared<Schedule>(weights.open({ReadMode::kBuffered, 0}, Residence::kStreamed), 0));
  CHECK(truncate(weights.path().c_str(), 100) == 0);
  for (int pass = 0; pass < 3; ++pass) {
    store.begin_pass(schedule, observer);
    const std::string error = test::error_of([&] { use(store, *schedule, weights, 3); });
    CHECK_CONTAINS(error, "LPC_IO_ERROR");
    CHECK_CONTAINS(error, "tensor w3");
    CHECK_CONTAINS(error, ", segment ");  // whichever a worker came to first
    store.end_pass();
  }
  store.retire(std::move(schedule));
}

TEST(test_schedule_ring_too_small_says_how_much_is_needed) {
  const TemporaryWeights weights(2);
  const std::string error = test::error_of([&] { Schedule(weights.open({}, Residence::kStreamed), 100); });
  CHECK_CONTAINS(error, "ring_bytes: got 100, expected at least 10176");
}

}  // namespace
}  // namespace lpc
