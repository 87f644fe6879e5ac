// Passes that name what they want: some blobs, in their own order, more of them on the way, different ones in different
// sessions.
#include <algorithm>
#include <random>
#include <thread>

#include "tests/main.h"
#include "tests/store_session.h"

namespace lpc {
namespace {

using namespace test;

// A ring that holds everything several times, so that nothing is ever given up for want of room.
constexpr size_t kLargeRing = size_t{4} << 20;

TEST(test_pass_that_wants_some_blobs_reads_only_those) {
  for (const Form form : kForms) {
    Session session({Home::kMemory, form});
    const std::vector<size_t> chosen{5, 1, 3};
    for (int pass = 0; pass < 3; ++pass) session.pass(chosen);
    CHECK(session.bytes_read() == session.file_bytes(chosen));
  }
}

TEST(test_pass_that_wants_some_streamed_blobs_reads_only_those_and_once_a_pass) {
  for (const Form form : kForms) {
    Session session({Home::kRing, form}, kLargeRing);
    const std::vector<size_t> chosen{6, 2};
    for (int pass = 0; pass < 5; ++pass) session.pass(chosen);
    CHECK(session.reads_until(6 * session.file_bytes(chosen)));  // once more for a pass that is to come
    CHECK(session.bytes_read() == 6 * session.file_bytes(chosen));
  }
}

TEST(test_pass_over_everything_after_one_over_some_reads_only_the_rest) {
  for (const Form form : kForms) {
    Session session({Home::kMemory, form});
    session.pass({4, 0});
    session.whole_pass();
    session.whole_pass();
    session.pass({4, 0});
    CHECK(session.bytes_read() == session.file_bytes());
  }
}

TEST(test_pass_over_some_leaves_what_was_brought_for_the_others_in_the_ring) {
  for (const Form form : kForms) {
    Session session({Home::kRing, form}, kLargeRing);
    const uint64_t all = session.file_bytes();
    const uint64_t some = session.file_bytes({2, 5});
    session.whole_pass();
    CHECK(session.reads_until(2 * all));  // the next whole pass is in the ring
    session.pass({2, 5});
    CHECK(session.reads_until(2 * all + some));  // these two once more
    session.whole_pass();
    CHECK(session.reads_until(3 * all + some));
    CHECK(session.bytes_read() == 3 * all + some);  // nothing had to be read again
  }
}

TEST(test_pass_in_another_order_than_the_schedules_follows_its_own_without_memory_outside_the_ring) {
  Session session(kStreamed);
  std::mt19937 random(3);
  std::vector<size_t> order{7, 6, 5, 4, 3, 2, 1, 0};
  session.pass(order);
  const size_t calls = session.allocator().calls();
  for (int pass = 0; pass < 40; ++pass) {
    session.pass(order);
    std::shuffle(order.begin(), order.end(), random);
  }
  CHECK(session.allocator().calls() == calls);
}

TEST(test_wanted_blobs_acquired_in_another_order_are_right) {
  std::mt19937 random(4);
  for (const Form form : kForms) {
    for (const Home home : kHomes) {
      Session session({home, form});
      for (int pass = 0; pass < 20; ++pass) {
        std::vector<size_t> order{0, 1, 2, 3, 4, 5, 6, 7};
        std::shuffle(order.begin(), order.end(), random);
        session.begin();
        for (const size_t blob : order) session.use(blob);
        session.end();
      }
    }
  }
}

TEST(test_wants_added_during_a_pass_are_brought_and_nothing_else) {
  for (const Form form : kForms) {
    Session session({Home::kMemory, form});
    session.begin({0, 1});
    session.use(0);
    session.want({6, 4, 1});
    CHECK(session.reads_until(session.file_bytes({0, 1, 6, 4})));  // before anybody asks for them
    for (const size_t blob : {6, 4, 1}) session.use(blob);
    session.end();
    CHECK(session.bytes_read() == session.file_bytes({0, 1, 6, 4}));
  }
}

TEST(test_wants_added_during_a_streamed_pass_make_what_was_brought_for_later_go) {
  Session session(kStreamed);
  const size_t before = session.allocator().calls();
  for (int pass = 0; pass < 10; ++pass) {
    session.begin({0, 1});
    for (const size_t blob : {0, 1}) session.use(blob);
    session.want({7, 6, 5});
    for (const size_t blob : {7, 6, 5}) session.use(blob);
    session.end();
  }
  session.whole_pass();
  CHECK(session.allocator().calls() == before + 1);  // the ring; no memory beside it
}

TEST(test_blob_that_nobody_named_is_brought_on_demand) {
  for (const Form form : kForms) {
    for (const Home home : kHomes) {
      Session session({home, form});
      for (int pass = 0; pass < 5; ++pass) {
        session.begin({0});
        session.use(7);
        session.use(0);
        session.use(3);
        session.end();
      }
    }
  }
}

TEST(test_blob_used_twice_in_one_pass_is_right_twice) {
  for (const Home home : kHomes) {
    Session session({home, Form::kDecoded});
    for (int pass = 0; pass < 5; ++pass) {
      session.begin();
      for (size_t blob = 0; blob < kBlobs; ++blob) session.use(blob);
      session.use(2);
      session.end();
    }
  }
}

TEST(test_blob_named_twice_is_brought_once) {
  Session session(kDecoded);
  session.begin({3, 3, 2, 3});
  session.want({2, 2});
  for (const size_t blob : {3, 2}) session.use(blob);
  session.end();
  CHECK(session.bytes_read() == session.file_bytes({2, 3}));
}

TEST(test_pass_that_wants_nothing_reads_nothing_and_keeps_what_is_there) {
  Session session(kStreamed, kLargeRing);
  session.pass({});
  CHECK(session.bytes_read() == 0);
  session.whole_pass();
  CHECK(session.reads_until(2 * session.file_bytes()));
  session.pass({});
  session.whole_pass();
  CHECK(session.reads_until(3 * session.file_bytes()));
  CHECK(session.bytes_read() == 3 * session.file_bytes());
}

TEST(test_blob_that_the_schedule_does_not_have_is_refused) {
  Session session(kStreamed);
  const std::string expected = "LPC_INVALID_ARGUMENT: blob: got 8, expected less than 8";
  CHECK(error_of([&] { session.begin({0, 8}); }) == expected);
  session.begin({0});
  CHECK(error_of([&] { session.want({1, 8}); }) == expected);
  session.use(0);
  session.end();
  session.whole_pass();
}

TEST(test_pass_over_some_that_was_left_early_spoils_nothing) {
  for (const Form form : kForms) {
    for (const Home home : kHomes) {
      Session session({home, form});
      std::mt19937 random(9);
      for (int pass = 0; pass < 20; ++pass) {
        session.begin({6, 2, 4});
        for (const size_t blob : {6, 2, 4}) {
          if (random() % 2 == 0) break;
          session.use(blob);
        }
        session.end();
        if (pass % 4 == 3) session.whole_pass();
      }
    }
  }
}

TEST(test_two_threads_that_wait_for_the_same_blob_both_get_it) {
  for (const Home home : kHomes) {
    Session session({home, Form::kDecoded});
    for (int pass = 0; pass < 20; ++pass) {
      session.begin();
      const auto use_all = [&] {
        for (size_t blob = 0; blob < kBlobs; ++blob) session.use(blob);
      };
      std::thread other(use_all);
      use_all();
      other.join();
      session.end();
    }
  }
}

TEST(test_sessions_with_different_wants_take_turns_and_are_right) {
  for (const Placement& placement : {kStreamed, kResident, kDecoded, kTranscoded}) {
    Session session(placement);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        const auto observer = std::make_shared<Observer>();
        std::mt19937 random(i);
        for (int pass = 0; pass < 12; ++pass) {
          std::vector<size_t> wanted{0, 1, 2, 3, 4, 5, 6, 7};
          std::shuffle(wanted.begin(), wanted.end(), random);
          wanted.resize(random() % (kBlobs + 1));
          session.store().begin_pass(session.schedule(), observer, nullptr, wanted);
          for (const size_t blob : wanted) session.use(blob);
          session.end();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(test_blobs_of_several_parts_are_wanted_and_brought_as_wholes) {
  const TemporaryWeights weights(2, LPC_CODEC_LZ4, 1700);
  for (const Placement& placement : {kStreamed, kTranscoded}) {
    LayerStore store(3);
    const auto observer = std::make_shared<Observer>();
    auto schedule = store.share(std::make_shared<Schedule>(weights.open({}, placement), 0));
    CHECK(schedule->first_part(1) == 2 && schedule->part_count() == 4);
    for (const std::vector<size_t>& wanted : {std::vector<size_t>{1}, {1, 0}, {0}}) {
      store.begin_pass(schedule, observer, nullptr, wanted);
      for (const size_t blob : wanted) test::use(store, *schedule, weights, blob);
      store.end_pass();
    }
    store.retire(std::move(schedule));
  }
}

TEST(test_every_home_form_and_source_gives_the_contents) {
  for (const lpc_codec codec : {LPC_CODEC_LZ4, LPC_CODEC_PACKED, LPC_CODEC_STORED}) {
    for (const Home home : kHomes) {
      for (const Form form : kForms) {
        for (const bool kept : {false, true}) {
          Session session({home, form, kept}, 0, codec);
          for (int pass = 0; pass < 4; ++pass) session.whole_pass();
          if (kept || home == Home::kMemory) CHECK(session.bytes_read() == session.file_bytes());
        }
      }
    }
  }
}

}  // namespace
}  // namespace lpc
