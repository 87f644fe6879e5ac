// A pass over weights allocates nothing, wherever they live and in whatever form: counted by an operator new of its
// own.
#include <array>
#include <atomic>
#include <barrier>
#include <cstdlib>
#include <new>
#include <set>

#include "matmul/pool_loop.h"
#include "matmul/registry.h"
#include "tests/main.h"
#include "tests/temporary_weights.h"

namespace {

std::atomic<uint64_t> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(std::max<std::size_t>(bytes, 1), alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(std::max<std::size_t>(bytes, 1));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(std::max<std::size_t>(bytes, 1), static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace lpc {
namespace {

using namespace test;

constexpr size_t kBlobs = 8;
constexpr size_t kColumns = test::kRowBytes / 2;
constexpr int kPasses = 50;
constexpr unsigned kThreads = 2;
constexpr std::array<size_t, 4> kRows{1, 4, 16, 20};  // of activations: each is multiplied in its own way

// What a product node does with each part of a blob, pass after pass.
class Products {
 public:
  explicit Products(const Schedule& schedule) : schedule_(schedule), parts_(schedule.part_count()) {
    for (float& value : x_) value = 0.5f;
    for (size_t i = 0; i < schedule.part_count(); ++i) {
      y_.resize(std::max<size_t>(y_.size(), kRows.back() * schedule.part(i).blob().header().rows));
    }
  }

  void multiply(LayerStore& store, size_t index, size_t m) {
    const uint8_t* data = store.acquire(index);
    auto& [matrix, place] = parts_[index];
    const Part& part = schedule_.part(index);
    if (matrix == nullptr) {
      matrix =
          open_matrix({part.header(), part.form(), part.first_segment, part.segment_count, {data, part.bytes()}, {}});
    } else {
      matrix->rebase(data);
    }
    PoolLoop pool{kThreads};
    matrix->multiply({x_, m, y_.data(), true}, pool.loop());
    if (meets_all_) meet_all(*matrix);
    moved_ += place != data;
    place = data;
    store.release(index);
  }

  // Whether every thread of the pool multiplies all of each part too: memory of its own is then as large as it gets. Of
  // a product that is shared out, a thread may see nothing for a long time.
  void let_threads_meet_all(bool yes) { meets_all_ = yes; }

  size_t times_moved() const { return moved_; }

 private:
  void meet_all(const Matrix& matrix) {
    std::barrier all_here(kThreads);
    parallel_for(kThreads, kThreads, [&](size_t) {
      all_here.arrive_and_wait();  // so that no thread takes two turns
      std::vector<float> y(y_.size());
      const auto alone = [](void*, void (*body)(void*, size_t), size_t count, void* context) {
        for (size_t i = 0; i < count; ++i) body(context, i);
      };
      for (const size_t m : kRows) matrix.multiply({x_, m, y.data(), true}, {alone, nullptr, kThreads});
    });
  }

  struct OpenPart {
    std::unique_ptr<Matrix> matrix;
    const uint8_t* data = nullptr;
  };
  const Schedule& schedule_;
  std::vector<OpenPart> parts_;
  float x_[kRows.back() * kColumns];
  std::vector<float> y_;
  size_t moved_ = 0;
  bool meets_all_ = false;
};

// What passes want: all blobs, or some and then others, not in the order of the schedule.
enum class Wants { kEverything, kChosen };
constexpr std::array<size_t, 3> kChosen{1, 6, 3};
constexpr std::array<size_t, 2> kChosenLater{7, 0};

// Allocations in kPasses passes, after some that may allocate. Streamed parts move, or nothing would be shown.
uint64_t allocations_of(const TemporaryWeights& weights, const Placement& placement, bool moves,
                        Wants wants = Wants::kEverything) {
  LayerStore store(2);
  const auto observer = std::make_shared<Observer>();
  auto schedule = store.share(std::make_shared<Schedule>(weights.open({}, placement), 0));
  CHECK(schedule->part_count() == kBlobs);  // one a blob
  Products products(*schedule);
  uint64_t before = 0;
  size_t moved_before = 0;
  constexpr int kFirst = 6;
  for (int pass = 0; pass < kFirst + kPasses; ++pass) {
    if (pass == kFirst) {
      before = allocations;
      moved_before = products.times_moved();
    }
    products.let_threads_meet_all(pass == 0);
    const size_t m = kRows[static_cast<size_t>(pass) % kRows.size()];
    if (pass < kFirst || wants == Wants::kEverything) {
      store.begin_pass(schedule, observer);
      for (size_t i = 0; i < kBlobs; ++i) products.multiply(store, i, m);
    } else {
      store.begin_pass(schedule, observer, nullptr, kChosen);
      for (const size_t i : kChosen) products.multiply(store, i, m);
      store.want(kChosenLater);
      for (const size_t i : kChosenLater) products.multiply(store, i, m);
    }
    store.end_pass();
  }
  const uint64_t found = allocations - before;
  CHECK(moves == (products.times_moved() > moved_before));
  store.retire(std::move(schedule));
  return found;
}

TEST(test_pass_over_weights_that_stay_allocates_nothing) {
  const TemporaryWeights weights(kBlobs);
  CHECK(allocations_of(weights, kDecoded, false) == 0);
  CHECK(allocations_of(weights, kTranscoded, false) == 0);
  const TemporaryWeights packed(kBlobs, LPC_CODEC_PACKED);
  CHECK(allocations_of(packed, {Home::kMemory, Form::kStored}, false) == 0);
}

TEST(test_pass_over_streamed_weights_allocates_nothing) {
  const TemporaryWeights weights(kBlobs);
  CHECK(allocations_of(weights, kStreamed, true) == 0);
  CHECK(allocations_of(weights, kResident, true) == 0);  // kept as stored, decoded into the ring
}

TEST(test_pass_over_streamed_packed_weights_allocates_nothing) {
  const TemporaryWeights packed(kBlobs, LPC_CODEC_PACKED);
  CHECK(allocations_of(packed, {Home::kRing, Form::kStored}, true) == 0);
}

TEST(test_pass_over_chosen_weights_allocates_nothing) {
  const TemporaryWeights weights(kBlobs);
  CHECK(allocations_of(weights, kStreamed, true, Wants::kChosen) == 0);
  CHECK(allocations_of(weights, kResident, true, Wants::kChosen) == 0);
  CHECK(allocations_of(weights, kTranscoded, false, Wants::kChosen) == 0);
}

TEST(test_pass_over_streamed_transcoded_weights_allocates_nothing) {
  const TemporaryWeights weights(kBlobs);
  CHECK(allocations_of(weights, {Home::kRing, Form::kTranscoded}, true) == 0);
}

}  // namespace
}  // namespace lpc
