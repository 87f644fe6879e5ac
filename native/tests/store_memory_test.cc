// The memory that weights are brought into: the ring, memory that grows, and the allocator behind all of it.
#include <unistd.h>

#include <cstdio>
#include <random>

#include "tests/main.h"
#include "tests/store_session.h"

namespace lpc {
namespace {

using namespace test;

TEST(test_ring_hands_out_in_order_and_takes_back_in_any) {
  Ring ring;
  ring.resize(64 * 10, 10);
  uint8_t* a = ring.allocate(64 * 4, 0);
  uint8_t* b = ring.allocate(64 * 4, 0);
  CHECK(a != nullptr && b == a + 64 * 4);
  CHECK(ring.allocate(64 * 3, 0) == nullptr);
  ring.release(b);
  CHECK(ring.allocate(64 * 3, 0) == nullptr);  // the older piece still stands before it
  ring.release(a);
  uint8_t* c = ring.allocate(64 * 10, 0);
  CHECK(c == a);
  CHECK(ring.allocate(1, 0) == nullptr);
}

TEST(test_ring_wraps_around_and_never_overlaps) {
  Ring ring;
  ring.resize(1 << 12, 64);
  std::mt19937 random(7);
  std::vector<std::pair<uint8_t*, size_t>> held;
  for (int step = 0; step < 20000; ++step) {
    const size_t bytes = 1 + random() % 900;
    uint8_t* piece = ring.allocate(bytes, 0);
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

TEST(test_growing_memory_rewound_is_used_again) {
  GrowingMemory memory;
  memory.expect(size_t{1} << 31);
  uint8_t* first = memory.open(1000);
  memory.use(640);
  const GrowingMemory::Mark mark = memory.mark();
  CHECK(memory.open(1000) == first + 640);
  memory.use(960);
  uint8_t* large = memory.open(size_t{1} << 30);  // more than what a chunk has left
  CHECK(large < first || large > first + (size_t{1} << 28));
  memory.use(64);
  CHECK(memory.used_bytes() == 640 + 960 + 64);
  memory.rewind(mark);
  CHECK(memory.used_bytes() == 640);
  CHECK(memory.open(1000) == first + 640);
}

TEST(test_growing_memory_of_a_small_model_is_small) {
  const auto mapped_bytes = [] {
    std::FILE* file = std::fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    CHECK(std::fscanf(file, "%lu", &pages) == 1);
    std::fclose(file);
    return pages * static_cast<unsigned long>(getpagesize());
  };
  GrowingMemory memory;
  memory.expect(3 << 20);
  const auto before = mapped_bytes();
  uint8_t* first = memory.open(1 << 20);
  CHECK(mapped_bytes() - before <= (4 << 20));
  memory.use(1 << 20);
  CHECK(memory.open(2 << 20) == first + (1 << 20));  // all of it is there
}

TEST(test_ring_kept_and_transcoded_memory_come_through_the_stores_allocator) {
  for (const Home home : kHomes) {
    for (const Form form : kForms) {
      for (const bool kept : {false, true}) {
        Session session({home, form, kept});
        session.begin();
        for (size_t part = 0; part < session.schedule()->part_count(); ++part) {
          CHECK(session.allocator().gave(session.store().acquire(part)));
          session.store().release(part);
        }
        session.end();
        const Schedule& schedule = *session.schedule();
        CHECK(session.allocator().live_bytes() >= schedule.ring_bytes() + schedule.pinned_bytes());
        CHECK((schedule.ring_bytes() > 0) == (home == Home::kRing));
        CHECK((schedule.pinned_bytes() > 0) == (kept || home == Home::kMemory));
      }
    }
  }
}

TEST(test_memory_outside_the_ring_comes_through_the_allocator_and_goes_back) {
  Session session(kStreamed);
  session.begin();
  session.use(0);
  const uint64_t before = session.allocator().live_bytes();
  const size_t last = session.schedule()->part_count() - 1;
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the ring fills with what is wanted first
    CHECK(session.allocator().gave(session.store().acquire(last)));
    session.store().release(last);
  }
  CHECK(session.allocator().calls() > 2);  // pinned memory, the ring, and what was needed beside it
  CHECK(session.allocator().live_bytes() == before);
  for (size_t blob = 1; blob < kBlobs; ++blob) session.use(blob);
  session.end();
}

TEST(test_allocator_that_has_no_memory_is_an_error_and_the_store_goes_on) {
  class Empty final : public WeightAllocator {
   public:
    WeightMemory allocate(size_t bytes) override {
      if (bytes > left) throw Error(LPC_OUT_OF_MEMORY, "no more");
      return mapped_weights().allocate(bytes);
    }
    size_t left = 0;
  };
  Empty allocator;
  LayerStore store(2, allocator);
  const TemporaryWeights weights(kBlobs);
  const auto observer = std::make_shared<Observer>();
  const auto kept = std::make_shared<Schedule>(weights.open({}, kDecoded), 0);
  CHECK(error_of([&] { store.share(kept); }) == "LPC_OUT_OF_MEMORY: no more");
  auto streamed = store.share(std::make_shared<Schedule>(weights.open({}, kStreamed), 0));
  CHECK(error_of([&] { store.begin_pass(streamed, observer); }) == "LPC_OUT_OF_MEMORY: no more");
  auto transcoded = store.share(std::make_shared<Schedule>(weights.open({}, kTranscoded), 0));
  store.begin_pass(transcoded, observer);
  CHECK(error_of([&] { test::use(store, *transcoded, weights, 0); }) == "LPC_OUT_OF_MEMORY: no more");
  store.end_pass();
  allocator.left = size_t{1} << 30;
  for (auto* schedule : {&streamed, &transcoded}) {
    store.begin_pass(*schedule, observer);
    for (size_t blob = 0; blob < kBlobs; ++blob) test::use(store, **schedule, weights, blob);
    store.end_pass();
    store.retire(std::move(*schedule));
  }
}

}  // namespace
}  // namespace lpc
