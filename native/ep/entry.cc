// The entry points that ONNX Runtime looks up by name.
#include "ep/factory.h"
#include "ep/fallback_op.h"

namespace {

// Before the API table is known to fit there is nothing to make a status with but the oldest table.
OrtStatus* too_old(const OrtApiBase* base) noexcept {
  const OrtApi* oldest = base->GetApi(1);
  return oldest == nullptr ? nullptr : oldest->CreateStatus(ORT_NOT_IMPLEMENTED, lpc_last_error());
}

}  // namespace

extern "C" LPC_EXPORT OrtStatus* CreateEpFactories(const char*, const OrtApiBase* base, const OrtLogger*,
                                                   OrtEpFactory** factories, size_t max_factories,
                                                   size_t* factory_count) {
  *factory_count = 0;
  const lpc_status status = lpc::guarded([&] {
    if (max_factories < 1) throw lpc::Error(LPC_INVALID_ARGUMENT, "max_factories: got 0, expected at least 1");
    factories[0] = new lpc::Factory(lpc::Api(base), base->GetVersionString());
    *factory_count = 1;
  });
  return status == LPC_OK ? nullptr : too_old(base);
}

extern "C" LPC_EXPORT OrtStatus* ReleaseEpFactory(OrtEpFactory* factory) {
  delete static_cast<lpc::Factory*>(factory);
  return nullptr;
}

extern "C" LPC_EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  const lpc_status status = lpc::guarded([&] { lpc::add_decompress_op(lpc::Api(base), options); });
  return status == LPC_OK ? nullptr : too_old(base);
}
