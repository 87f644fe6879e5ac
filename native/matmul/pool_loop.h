// The process-wide pool of base/parallel.h as the loop that products are split over.
#pragma once

#include "base/parallel.h"
#include "matmul/loop.h"

namespace lpc {

// Products follow each other closely, so the threads stay awake between them.
struct PoolLoop {
  unsigned threads;  // the calling one included

  Loop loop() { return {run, this, threads}; }

 private:
  static void run(void* self, void (*body)(void*, size_t), size_t count, void* context) {
    parallel_for(count, static_cast<PoolLoop*>(self)->threads, [=](size_t i) { body(context, i); }, Waiting::kAwake);
  }
};

}  // namespace lpc
