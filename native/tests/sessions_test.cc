// Several sessions on one weight file that load, run, are cancelled and end at the same time; `make tsan` looks for
// races.
#include "ep/sessions.h"

#include <atomic>
#include <random>

#include "base/parallel.h"
#include "ep/shared_models.h"
#include "tests/main.h"
#include "tests/temporary_weights.h"

namespace lpc {
namespace {

using namespace test;

constexpr size_t kBlobs = 6;
constexpr size_t kSessions = 6;
constexpr Placement kPlacements[] = {kStreamed, kResident, kDecoded, kTranscoded};
constexpr uint64_t kSlowBus = 2'000'000;  // a pass takes some hundredths of a second: some are cancelled while waiting

struct Counts {
  std::atomic<unsigned> whole{0}, cancelled{0}, loads{0};
};

std::string name_of(size_t session) { return "session" + std::to_string(session); }

// One pass that may be cancelled at any moment; true if it was not.
bool run(LayerStore& store, const std::shared_ptr<Schedule>& schedule, const std::shared_ptr<Observer>& observer,
         const TemporaryWeights& weights, size_t session) {
  const auto flag = cancel_flag(name_of(session));
  bool begun = false, whole = false;
  const std::string error = test::error_of([&] {
    store.begin_pass(schedule, observer, flag);
    begun = true;
    for (size_t blob = 0; blob < kBlobs; ++blob) use(store, *schedule, weights, blob);
    whole = true;
  });
  CHECK(whole || error.starts_with("LPC_CANCELLED"));
  if (begun) store.end_pass();
  return whole;
}

// Opens the model, runs it some times and closes it, as a session of ONNX Runtime does.
void live(SharedModels& models, const TemporaryWeights& weights, size_t session, size_t round, Counts& counts) {
  const auto model = models.open(weights.path(), {ReadMode::kAuto, kSlowBus}, 3);
  const auto observer = std::make_shared<Observer>();
  register_session(name_of(session), observer);
  const Placement& placement = kPlacements[(session + round) % std::size(kPlacements)];
  auto schedule = model->store.share(std::make_shared<Schedule>(weights.of(model->file, placement), 0));
  ++counts.loads;
  for (int pass = 0; pass < 3; ++pass) {
    ++(run(model->store, schedule, observer, weights, session) ? counts.whole : counts.cancelled);
  }
  model->store.retire(std::move(schedule));
}

// Cancels runs and reads statistics by name, until nobody lives any more.
void disturb(const std::atomic<size_t>& living) {
  std::mt19937 random(1);
  while (living != 0) {
    const std::string name = name_of(random() % kSessions);
    lpc_session_stats stats{};
    stats.struct_bytes = sizeof stats;
    const lpc_status known = lpc_get_session_stats(name.c_str(), &stats);
    CHECK(known == LPC_OK || known == LPC_NOT_FOUND);
    const lpc_status cancelled = random() % 4 == 0 ? lpc_cancel_run(name.c_str()) : LPC_OK;
    CHECK(cancelled == LPC_OK || cancelled == LPC_NOT_FOUND);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 20));
  }
}

TEST(test_sessions_that_load_run_are_cancelled_and_end_at_once_have_right_weights) {
  const TemporaryWeights weights(kBlobs);
  SharedModels models;
  Counts counts;
  std::atomic<size_t> living{kSessions};
  std::vector<std::thread> threads;
  for (size_t session = 0; session < kSessions; ++session) {
    threads.emplace_back([&, session] {
      for (size_t round = 0; round < 4; ++round) live(models, weights, session, round, counts);
      --living;
    });
  }
  threads.emplace_back([&] { disturb(living); });
  for (std::thread& thread : threads) thread.join();
  std::printf("loads %u, whole passes %u, cancelled %u\n", counts.loads.load(), counts.whole.load(),
              counts.cancelled.load());
  CHECK(counts.loads == kSessions * 4 && counts.whole > 0 && counts.cancelled > 0);
}

}  // namespace
}  // namespace lpc
