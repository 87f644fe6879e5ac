// The measuring half of the C API.
#include <string>

#include "base/error.h"
#include "store/measure.h"

namespace {

void require(const void* pointer, const char* name) {
  if (pointer == nullptr) throw lpc::Error(LPC_INVALID_ARGUMENT, std::string(name) + ": null pointer");
}

void give(const lpc::Measured& measured, lpc_measured* out) {
  out->bytes = measured.bytes;
  out->nanoseconds = measured.nanoseconds;
}

}  // namespace

extern "C" lpc_status lpc_measure_memory_read(uint64_t bytes, uint32_t threads, double seconds,
                                              lpc_measured* measured) {
  return lpc::guarded([&] {
    require(measured, "measured");
    give(lpc::measure_memory_read(bytes, threads, seconds), measured);
  });
}

extern "C" lpc_status lpc_measure_file_read(const char* path, const lpc_file_read* read, lpc_measured* measured) {
  return lpc::guarded([&] {
    require(path, "path");
    require(read, "read");
    require(measured, "measured");
    if (read->struct_bytes != sizeof(lpc_file_read)) {
      throw lpc::Error(LPC_INVALID_ARGUMENT, "read.struct_bytes: got " + std::to_string(read->struct_bytes) +
                                                 ", expected " + std::to_string(sizeof(lpc_file_read)));
    }
    lpc::FileRead options;
    options.block_bytes = read->block_bytes;
    options.queue_depth = read->queue_depth;
    options.direct = read->direct != 0;
    options.offset = read->offset;
    options.seconds = read->seconds;
    give(lpc::measure_file_read(path, options), measured);
  });
}
