// A loop over tasks, run by whatever has threads: the pool of the process, ONNX Runtime's, or the caller alone.
#pragma once

#include <cstddef>

namespace lpc {

// Runs body(context, i) for i in [0, count), in any order, on any threads.
struct Loop {
  void (*run)(void* self, void (*body)(void*, size_t), size_t count, void* context);
  void* self;
  size_t threads = 0;  // that may take part; 0: not known
};

// Calls body(i) for i in [0, count) in `loop`; allocates nothing.
template <typename Body>
void for_each(const Loop& loop, size_t count, const Body& body) {
  loop.run(
      loop.self, [](void* context, size_t i) { (*static_cast<const Body*>(context))(i); }, count,
      const_cast<Body*>(&body));
}

}  // namespace lpc
