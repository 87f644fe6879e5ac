// The layer store over a disk that fails: every pread of this program goes through the one below.
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>

#include "tests/main.h"
#include "tests/temporary_weights.h"

namespace {

enum class Fault { kNone, kError, kInterrupted, kShort, kFlippedBits, kEnd };

std::atomic<Fault> fault{Fault::kNone};
std::atomic<int> good_reads{0};  // before the fault sets in
std::atomic<uint64_t> reads{0};

}  // namespace

// Takes the place of libc's for everything that is linked into this program.
extern "C" ssize_t pread(int descriptor, void* buffer, size_t bytes, off_t offset) {
  const uint64_t number = reads++;
  const Fault now = good_reads-- > 0 ? Fault::kNone : fault.load();
  if (now == Fault::kError) {
    errno = EIO;
    return -1;
  }
  if (now == Fault::kInterrupted && number % 2 == 0) {
    errno = EINTR;
    return -1;
  }
  if (now == Fault::kEnd) return 0;
  // What a disk with sectors of 512 bytes may do to direct reads as well.
  if (now == Fault::kShort && bytes > 512) bytes = 512 * (1 + number % ((bytes - 1) / 512));
  const ssize_t got = syscall(SYS_pread64, descriptor, buffer, bytes, offset);
  // All of them: a direct read also brings neighbours that nobody asked for.
  for (ssize_t i = 0; now == Fault::kFlippedBits && i < got; ++i) static_cast<uint8_t*>(buffer)[i] ^= 0x10;
  return got;
}

namespace lpc {
namespace {

using namespace test;

constexpr size_t kBlobs = 8;

class FaultyPasses {
 public:
  explicit FaultyPasses(ReadMode mode, const Placement& placement = kStreamed) {
    fault = Fault::kNone;
    schedule_ = store_.share(std::make_shared<Schedule>(weights_.open({mode, 0}, placement), 0));
  }
  ~FaultyPasses() {
    fault = Fault::kNone;
    store_.retire(std::move(schedule_));
  }

  // Runs a pass over all blobs; the error that ended it, or "".
  std::string run(const std::shared_ptr<const CancelFlag>& cancel = nullptr) {
    return run_some({0, 1, 2, 3, 4, 5, 6, 7}, cancel);
  }
  // Over these: the first ones are named at the beginning, the last one on the way.
  std::string run_some(const std::vector<size_t>& blobs, const std::shared_ptr<const CancelFlag>& cancel = nullptr) {
    return test::error_of([&] {
      store_.begin_pass(schedule_, observer_, cancel, std::span(blobs).first(blobs.size() - 1));
      try {
        store_.want(std::span(blobs).last(1));
        for (const size_t blob : blobs) use(store_, *schedule_, weights_, blob);
      } catch (...) {
        store_.end_pass();
        throw;
      }
      store_.end_pass();
    });
  }

  // Uses one more blob in a pass over others, without having named it.
  std::string use_unnamed(const std::vector<size_t>& named, size_t other) {
    return test::error_of([&] {
      store_.begin_pass(schedule_, observer_, nullptr, named);
      for (const size_t blob : named) use(store_, *schedule_, weights_, blob);
      try {
        use(store_, *schedule_, weights_, other);
      } catch (...) {
        store_.end_pass();
        throw;
      }
      store_.end_pass();
    });
  }

  const std::string& path() const { return weights_.path(); }
  const Statistics& statistics() const { return observer_->statistics; }

 private:
  const TemporaryWeights weights_{kBlobs};
  LayerStore store_{3};
  std::shared_ptr<Observer> observer_ = std::make_shared<Observer>();
  std::shared_ptr<Schedule> schedule_;
};

void check_error(Fault kind, const std::string& status, const std::string& detail) {
  for (ReadMode mode : {ReadMode::kAuto, ReadMode::kBuffered}) {
    for (int after : {0, 1, 5, 17}) {
      FaultyPasses passes(mode);
      CHECK(passes.run() == "");
      good_reads = after;
      fault = kind;
      std::string error;
      for (int pass = 0; pass < 3 && error.empty(); ++pass) error = passes.run();  // some was prefetched before
      CHECK_CONTAINS(error, status);
      CHECK_CONTAINS(error, passes.path() + ": tensor w");
      CHECK_CONTAINS(error, "blob at offset ");
      CHECK_CONTAINS(error, ", segment ");
      CHECK_CONTAINS(error, detail);
      fault = Fault::kNone;
      passes.run();               // may still meet what was prefetched before the fault was over
      CHECK(passes.run() == "");  // and over it is
    }
  }
}

TEST(test_store_read_error_names_tensor_offset_and_reason) {
  check_error(Fault::kError, "LPC_IO_ERROR", "failed: Input/output error");
}

TEST(test_store_file_that_ends_early_names_tensor_and_offset) {
  check_error(Fault::kEnd, "LPC_IO_ERROR", "the file ends at ");
}

TEST(test_store_bytes_that_change_on_the_way_are_an_error_never_an_output) {
  check_error(Fault::kFlippedBits, "LPC_CHECKSUM_MISMATCH", "checksum");
}

TEST(test_store_transcoded_weights_after_a_fault_are_read_again_and_right) {
  for (Fault kind : {Fault::kError, Fault::kFlippedBits, Fault::kEnd}) {
    for (int after : {0, 1, 2, 5, 17, 40}) {
      FaultyPasses passes(ReadMode::kBuffered, kTranscoded);
      good_reads = after;
      fault = kind;
      const std::string error = passes.run();
      CHECK_CONTAINS(error, kind == Fault::kFlippedBits ? "LPC_CHECKSUM_MISMATCH" : "LPC_IO_ERROR");
      CHECK_CONTAINS(error, passes.path() + ": tensor w");
      fault = Fault::kNone;
      passes.run();
      CHECK(passes.run() == "");
    }
  }
}

TEST(test_store_short_and_interrupted_reads_are_read_on) {
  for (ReadMode mode : {ReadMode::kAuto, ReadMode::kBuffered}) {
    for (Fault kind : {Fault::kShort, Fault::kInterrupted}) {
      FaultyPasses passes(mode);
      good_reads = 0;
      fault = kind;
      for (int pass = 0; pass < 5; ++pass) CHECK(passes.run() == "");
    }
  }
}

TEST(test_store_cancelled_pass_ends_and_the_next_one_is_whole) {
  FaultyPasses passes(ReadMode::kAuto);
  CHECK(passes.run() == "");
  const auto cancel = std::make_shared<CancelFlag>(true);
  // All that was prefetched may still be used; so a pass may also end well.
  const std::string error = passes.run(cancel);
  if (!error.empty()) CHECK_CONTAINS(error, "LPC_CANCELLED");
  CHECK(passes.run() == "");
}

TEST(test_store_cancelled_on_a_slow_bus_stops_waiting_and_reading) {
  const TemporaryWeights weights(kBlobs);
  for (const Placement& placement : {kStreamed, kTranscoded}) {
    LayerStore store(3);
    auto schedule = store.share(std::make_shared<Schedule>(weights.open({ReadMode::kAuto, 1}, placement), 0));
    const auto cancel = std::make_shared<CancelFlag>(false);
    store.begin_pass(schedule, std::make_shared<Observer>(), cancel);
    std::thread cancelling([&] { *cancel = true; });
    CHECK_CONTAINS(test::error_of([&] { store.acquire(0); }), "LPC_CANCELLED");
    cancelling.join();
    store.end_pass();  // at one byte a second: within the days that the workers' reads would have taken
    store.retire(std::move(schedule));
  }
}

TEST(test_store_fault_in_a_pass_over_some_names_one_of_them_and_is_over_with_it) {
  for (const Placement& placement : {kStreamed, kResident, kDecoded, kTranscoded}) {
    for (const int after : {0, 3}) {
      FaultyPasses passes(ReadMode::kBuffered, placement);
      good_reads = after;
      fault = Fault::kError;
      const std::string error = passes.run_some({6, 2, 4});
      CHECK_CONTAINS(error, "LPC_IO_ERROR");
      CHECK(error.find("tensor w6") != error.npos || error.find("tensor w2") != error.npos ||
            error.find("tensor w4") != error.npos);
      fault = Fault::kNone;
      CHECK(passes.run_some({6, 2, 4}) == "");
      CHECK(passes.run() == "");
    }
  }
}

TEST(test_store_fault_while_reading_ahead_harms_no_pass_that_comes_after_it) {
  FaultyPasses passes(ReadMode::kBuffered);
  size_t whole = 0;
  for (int round = 0; round < 10; ++round) {
    CHECK(passes.run_some({1, 5}) == "");
    good_reads = 0;
    fault = Fault::kError;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    fault = Fault::kNone;
    const std::string error = passes.run_some({1, 5});  // what has failed by now is tried once more
    if (!error.empty()) CHECK_CONTAINS(error, "LPC_IO_ERROR");
    whole += error.empty() ? 1 : 0;
    CHECK(passes.run() == "");
  }
  CHECK(whole > 0);
}

TEST(test_store_fault_of_a_blob_that_nobody_named_is_over_with_its_pass) {
  FaultyPasses passes(ReadMode::kBuffered, kDecoded);
  CHECK(passes.run_some({1, 2}) == "");
  good_reads = 0;
  fault = Fault::kError;
  CHECK_CONTAINS(passes.use_unnamed({1, 2}, 7), "tensor w7");
  CHECK(passes.run_some({1, 2}) == "");  // these are in memory
  fault = Fault::kNone;
  CHECK(passes.use_unnamed({1, 2}, 7) == "");
  CHECK(passes.run() == "");
}

TEST(test_store_cancelled_pass_over_some_leaves_whole_passes) {
  for (const Placement& placement : {kStreamed, kDecoded, kTranscoded}) {
    FaultyPasses passes(ReadMode::kAuto, placement);
    const std::string error = passes.run_some({3, 5, 1}, std::make_shared<CancelFlag>(true));
    if (!error.empty()) CHECK_CONTAINS(error, "LPC_CANCELLED");
    CHECK(passes.run_some({3, 5, 1}) == "");
    CHECK(passes.run() == "");
  }
}

TEST(test_store_cancelled_on_a_slow_bus_while_it_waits_for_what_nobody_named_stops) {
  const TemporaryWeights weights(kBlobs);
  LayerStore store(3);
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({ReadMode::kAuto, 1}, kStreamed), 0));
  const auto cancel = std::make_shared<CancelFlag>(false);
  store.begin_pass(schedule, std::make_shared<Observer>(), cancel, {});
  std::thread cancelling([&] { *cancel = true; });
  CHECK_CONTAINS(test::error_of([&] { store.acquire(5); }), "LPC_CANCELLED");
  cancelling.join();
  store.end_pass();
  store.retire(std::move(schedule));
}

TEST(test_store_reading_is_reported_once_it_is_decided) {
  FaultyPasses passes(ReadMode::kBuffered);
  CHECK(passes.run() == "");
  CHECK(passes.statistics().read_mode == LPC_READ_BUFFERED);
}

}  // namespace
}  // namespace lpc
