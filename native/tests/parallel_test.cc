// The worker pool: every index once, exceptions, nesting, several callers, fork.
#include "base/parallel.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tests/main.h"

namespace lpc {
namespace {

TEST(test_parallel_for_any_count_and_threads_runs_every_index_once) {
  for (size_t count : {0, 1, 2, 3, 100, 1000}) {
    for (unsigned threads : {0u, 1u, 2u, 5u, 300u}) {
      std::vector<std::atomic<int>> runs(count);
      parallel_for(count, threads, [&](size_t index) { ++runs[index]; });
      for (const auto& times : runs) CHECK(times == 1);
    }
  }
}

TEST(test_parallel_for_workers_numbers_are_below_the_thread_count_and_never_shared) {
  constexpr size_t kCount = 2000;
  const unsigned threads = effective_threads(kCount, 4);
  CHECK(threads == 4);
  std::vector<std::atomic<int>> busy(threads);
  parallel_for_workers(kCount, 4, [&](size_t, unsigned worker) {
    CHECK(worker < threads);
    CHECK(++busy[worker] == 1);
    --busy[worker];
  });
}

TEST(test_effective_threads_is_between_1_and_the_count) {
  CHECK(effective_threads(0, 8) == 1);
  CHECK(effective_threads(3, 8) == 3);
  CHECK(effective_threads(1000, 1) == 1);
  CHECK(effective_threads(1000000, 0) == default_threads());
  CHECK(default_threads() >= 1);
}

TEST(test_parallel_for_exception_of_the_lowest_index_reaches_the_caller) {
  for (unsigned threads : {1u, 2u, 4u}) {
    for (int round = 0; round < 50; ++round) {
      std::string caught;
      try {
        parallel_for(100, threads, [](size_t index) {
          if (index >= 10) throw std::runtime_error(std::to_string(index));
        });
      } catch (const std::runtime_error& error) {
        caught = error.what();
      }
      CHECK(caught == "10");
    }
  }
}

TEST(test_parallel_for_after_an_exception_works_again) {
  CHECK_CONTAINS(test::error_of([] { parallel_for(8, 4, [](size_t) { throw Error(LPC_INTERNAL, "on purpose"); }); }),
                 "on purpose");
  std::atomic<int> runs{0};
  parallel_for(8, 4, [&](size_t) { ++runs; });
  CHECK(runs == 8);
}

TEST(test_parallel_for_nested_calls_finish) {
  std::atomic<int> runs{0};
  parallel_for(6, 3, [&](size_t) { parallel_for(5, 3, [&](size_t) { parallel_for(4, 3, [&](size_t) { ++runs; }); }); });
  CHECK(runs == 6 * 5 * 4);
}

TEST(test_parallel_for_from_several_threads_is_exact) {
  std::atomic<int> runs{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) parallel_for(7, 3, [&](size_t) { ++runs; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(runs == 6 * 200 * 7);
}

#ifndef __SANITIZE_THREAD__  // which cannot follow a child that starts threads
TEST(test_parallel_for_after_fork_works_in_child_and_parent) {
  parallel_for(10, 4, [](size_t) {});
  const pid_t child = fork();
  if (child == 0) {
    std::atomic<int> runs{0};
    parallel_for(100, 4, [&](size_t) { ++runs; });
    _exit(runs == 100 ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  std::atomic<int> runs{0};
  parallel_for(100, 4, [&](size_t) { ++runs; });
  CHECK(runs == 100);
}
#endif

}  // namespace
}  // namespace lpc
