// The layer store without ONNX Runtime: limiter, file, passes in and out of order, many sessions, faults.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "codecs/layout.h"
#include "tests/main.h"
#include "tests/temporary_weights.h"

namespace lpc {
namespace {

using namespace test;

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

using Time = RateLimiter::Clock::time_point;

TEST(test_limiter_many_small_reads_take_exactly_as_long_as_one_large) {
  const Time start = Time() + std::chrono::hours(1);
  for (uint64_t rate : {uint64_t{7}, uint64_t{1'000'003}, uint64_t{1'500'000'000}}) {
    RateLimiter limiter(rate);
    Time done;
    for (uint64_t i = 0; i < 70'000; ++i) done = limiter.reserve(i % 3 + 1, start);
    RateLimiter one(rate);
    CHECK(done == one.reserve(139'999, start));  // 1 + 2 + 3 + 1 + ...
  }
}

TEST(test_limiter_bus_is_occupied_for_bytes_over_rate) {
  const Time start = Time() + std::chrono::hours(1);
  RateLimiter limiter(1'500'000'000);
  CHECK(limiter.reserve(1'500'000'000, start) - start == std::chrono::seconds(1));
  CHECK(limiter.reserve(3'000'000, start) - start == std::chrono::microseconds(1'002'000));
  // An idle bus saves nothing up.
  const Time later = start + std::chrono::seconds(10);
  CHECK(limiter.reserve(1'500'000, later) - later == std::chrono::milliseconds(1));
  CHECK(limiter.reserve(0, later) - later == std::chrono::milliseconds(1));
  RateLimiter unlimited(0);
  CHECK(unlimited.reserve(uint64_t{1} << 60, later) == later);
}

TEST(test_limiter_wait_that_nobody_wants_any_more_ends_early) {
  RateLimiter limiter(1);
  std::atomic<bool> give_up{false};
  std::thread waiting([&] { CHECK(!limiter.take(3600, &give_up)); });
  give_up = true;
  waiting.join();  // within an hour
}

// What a trial chooses that sees reads of these durations in its four phases (direct, buffered, direct, buffered).
ReadMode chosen(ReadTrial& trial, const std::array<int64_t, 4>& microseconds) {
  constexpr uint64_t kBytes = 1 << 20;
  for (size_t i = 0; i < 48; ++i) {
    CHECK(trial.decision() == ReadMode::kAuto);
    CHECK(trial.next(4096) == ReadMode::kDirect);  // too short to count
    trial.add(ReadMode::kDirect, 4096, std::chrono::seconds(1));
    const ReadMode mode = trial.next(kBytes);
    CHECK(mode == (i / 12 % 2 == 0 ? ReadMode::kDirect : ReadMode::kBuffered));
    // The first of a phase do not count, and an odd one does not decide.
    const bool odd = i % 12 < 5 || i % 12 == 8;
    trial.add(mode, kBytes, std::chrono::microseconds(odd ? 1 : microseconds[i / 12]));
  }
  CHECK(trial.next(kBytes) == trial.decision());
  return trial.decision();
}

TEST(test_read_trial_chooses_direct_unless_buffered_is_faster_by_a_quarter) {
  const auto of = [](std::array<int64_t, 4> microseconds) {
    ReadTrial trial(ReadMode::kAuto);
    return chosen(trial, microseconds);
  };
  CHECK(of({1000, 1000, 1000, 1000}) == ReadMode::kDirect);
  CHECK(of({1000, 820, 1000, 820}) == ReadMode::kDirect);
  CHECK(of({1000, 780, 1000, 780}) == ReadMode::kBuffered);
  CHECK(of({9000, 2000, 1000, 700}) == ReadMode::kDirect);  // a disk that was slow at first
  CHECK(ReadTrial(ReadMode::kBuffered).next(1) == ReadMode::kBuffered);
  ReadTrial trial(ReadMode::kAuto);
  chosen(trial, {4000, 2000, 1000, 1000});
  CHECK(trial.rate(ReadMode::kDirect) == uint64_t{1048576} * 1000);
}

TEST(test_store_every_residence_and_read_mode_gives_the_contents) {
  const TemporaryWeights weights(9);
  for (const Placement& placement : {kStreamed, kResident, kDecoded, kTranscoded}) {
    for (ReadMode mode : {ReadMode::kAuto, ReadMode::kBuffered}) {
      LayerStore store(3);
      const auto observer = std::make_shared<Observer>();
      auto schedule = store.share(std::make_shared<Schedule>(weights.open({mode, 0}, placement), 0));
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
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({}, kStreamed), 0));
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

TEST(test_store_transcoded_weights_after_passes_cut_short_are_read_once_and_kept) {
  const TemporaryWeights weights(8);
  LayerStore store(3);
  const auto observer = std::make_shared<Observer>();
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({}, kTranscoded), 0));
  std::mt19937 random(5);
  for (int pass = 0; pass < 40; ++pass) {
    const size_t used = pass < 20 ? random() % 8 : 8;
    store.begin_pass(schedule, observer);
    for (size_t blob = 0; blob < used; ++blob) use(store, *schedule, weights, blob);
    store.end_pass();
  }
  const Statistics& statistics = observer->statistics;
  uint64_t in_memory = 0;
  for (size_t i = 0; i < schedule->part_count(); ++i) in_memory += align_up(schedule->part(i).bytes(), 64);
  CHECK(statistics.pinned_bytes == in_memory);
  CHECK(statistics.ring_bytes == 0);
  CHECK(statistics.transcoded_from_bytes >= statistics.transcoded_bytes / 2);
  CHECK(statistics.encode_ns > 0 && statistics.transcode_ns > 0);
  const uint64_t read = statistics.bytes_read;
  store.begin_pass(schedule, observer);
  for (size_t blob = 0; blob < 8; ++blob) use(store, *schedule, weights, blob);
  store.end_pass();
  CHECK(statistics.bytes_read == read);
  store.retire(std::move(schedule));
}

TEST(test_store_transcoded_weights_of_two_sessions_are_one) {
  const TemporaryWeights weights(4);
  LayerStore store(2);
  const auto first = store.share(std::make_shared<Schedule>(weights.open({}, kTranscoded), 0));
  CHECK(store.share(std::make_shared<Schedule>(weights.open({}, kTranscoded), 0)) == first);
  CHECK(store.share(std::make_shared<Schedule>(weights.open({}, kResident), 0)) != first);
}

TEST(test_read_pace_follows_the_device_within_a_factor_of_two) {
  using std::chrono::nanoseconds;
  for (const double bytes_per_s : {10e3, 100e3, 1e6, 20e6, 3e9}) {
    ReadPace pace;
    nanoseconds longest{0};
    uint64_t calls = 0;
    for (uint64_t done = 0; done < (1 << 20); ++calls) {
      const uint64_t bytes = std::min<uint64_t>(pace.bytes(), (1 << 20) - done);
      const nanoseconds duration(static_cast<int64_t>(static_cast<double>(bytes) / bytes_per_s * 1e9) + 50'000);
      longest = std::max(longest, duration);
      pace.add(bytes, duration);
      done += bytes;
    }
    const nanoseconds least(static_cast<int64_t>(ReadPace::kLeastBytes / bytes_per_s * 1e9) + 50'000);
    CHECK(longest <= std::max<nanoseconds>(ReadPace::kLongest, least));
    if (bytes_per_s > 100e6) CHECK(calls <= 9 && pace.bytes() >= (1 << 19));
  }
}

TEST(test_read_pace_of_a_device_that_becomes_slow_shrinks_at_once_and_comes_back) {
  ReadPace pace;
  while (pace.bytes() < (1 << 20)) pace.add(pace.bytes(), std::chrono::milliseconds(1));
  pace.add(1 << 20, std::chrono::seconds(10));
  CHECK(pace.bytes() <= 15'728 && pace.bytes() % ReadPace::kLeastBytes == 0);
  pace.add(512, std::chrono::microseconds(10));  // the end of a segment tells nothing
  CHECK(pace.bytes() <= 15'728);
  CHECK(pace.takes_turns());
  for (int i = 0; i < 66; ++i) pace.add(pace.bytes(), std::chrono::milliseconds(1));
  CHECK(pace.bytes() >= (1 << 20) && !pace.takes_turns());
}

TEST(test_turns_are_taken_one_at_a_time_and_left_by_who_is_not_wanted) {
  Turns turns;
  std::atomic<bool> give_up{false};
  CHECK(turns.take(nullptr));
  std::thread waiting([&] { CHECK(!turns.take(&give_up)); });
  give_up = true;
  waiting.join();
  turns.leave();
  CHECK(turns.take(&give_up));
}

#ifndef __SANITIZE_THREAD__  // which cannot follow a child that starts threads
TEST(test_store_in_a_child_of_fork_is_refused_and_leaves_the_parent_alone) {
  const TemporaryWeights weights(6);
  const auto observer = std::make_shared<Observer>();
  LayerStore store(3);
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({}, kStreamed), 0));
  store.begin_pass(schedule, observer);
  use(store, *schedule, weights, 0);  // in the middle of a pass
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    const std::string error = test::error_of([&] { store.begin_pass(schedule, observer); });
    auto mine = schedule;
    store.retire(std::move(mine));
    {
      LayerStore own(2);
      auto again = own.share(std::make_shared<Schedule>(weights.open({}, kStreamed), 0));
      own.begin_pass(again, observer);
      for (size_t blob = 0; blob < 6; ++blob) use(own, *again, weights, blob);
      own.end_pass();
      own.retire(std::move(again));
    }
    const bool said = error.starts_with("LPC_WRONG_PROCESS: a model cannot be used after fork");
    _exit(said && !store.is_of_this_process() && test::failures() == 0 ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  for (size_t blob = 1; blob < 6; ++blob) use(store, *schedule, weights, blob);
  store.end_pass();
  store.retire(std::move(schedule));
}
#endif

TEST(test_store_sessions_on_two_schedules_from_many_threads_take_turns) {
  const TemporaryWeights weights(6);
  LayerStore store(2);
  const auto streamed = store.share(std::make_shared<Schedule>(weights.open({}, kStreamed), 0));
  const auto kept = store.share(std::make_shared<Schedule>(weights.open({}, kDecoded), 0));
  CHECK(store.share(std::make_shared<Schedule>(weights.open({}, kDecoded), 0)) == kept);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const auto observer = std::make_shared<Observer>();
      const auto& schedule = i % 2 == 0 ? streamed : kept;
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
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({ReadMode::kBuffered, 0}, kStreamed), 0));
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
  const std::string error = test::error_of([&] { Schedule(weights.open({}, kStreamed), 100); });
  CHECK_CONTAINS(error, "ring_bytes: got 100, expected at least 40704");
}

}  // namespace
}  // namespace lpc
