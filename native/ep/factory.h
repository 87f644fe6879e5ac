// Makes a provider for each session; lives as long as the library is registered.
#pragma once

#include "ep/provider.h"

namespace lpc {

// What ONNX Runtime 1.24 added behind the 1.23 structure that the headers here know: the factory hands its operators
// over itself, so that sessions need no custom ops library.
struct EpFactory124 : OrtEpFactory {
  void* GetHardwareDeviceIncompatibilityDetails = nullptr;  // not offered
  void* CreateExternalResourceImporterForDevice = nullptr;  // not offered
  OrtStatus*(ORT_API_CALL* GetNumCustomOpDomains)(OrtEpFactory*, size_t*) noexcept = nullptr;
  OrtStatus*(ORT_API_CALL* GetCustomOpDomains)(OrtEpFactory*, OrtCustomOpDomain**, size_t) noexcept = nullptr;
};

class Factory : public EpFactory124 {
 public:
  // `ort_version` is that of the ONNX Runtime that asks, such as "1.31.1".
  Factory(const Api& api, const std::string& ort_version);
  Factory(const Factory&) = delete;
  Factory& operator=(const Factory&) = delete;

  const Api& api() const { return api_; }

 private:
  ProviderOptions read_options(const OrtSessionOptions* options) const;

  static const char* ORT_API_CALL get_name(const OrtEpFactory* self) noexcept;
  static const char* ORT_API_CALL get_vendor(const OrtEpFactory* self) noexcept;
  static uint32_t ORT_API_CALL get_vendor_id(const OrtEpFactory* self) noexcept;
  static const char* ORT_API_CALL get_version(const OrtEpFactory* self) noexcept;
  static OrtStatus* ORT_API_CALL get_devices(OrtEpFactory* self, const OrtHardwareDevice* const* devices,
                                             size_t device_count, OrtEpDevice** ep_devices, size_t capacity,
                                             size_t* ep_device_count) noexcept;
  static OrtStatus* ORT_API_CALL create_ep(OrtEpFactory* self, const OrtHardwareDevice* const* devices,
                                           const OrtKeyValuePairs* const* metadata, size_t device_count,
                                           const OrtSessionOptions* options, const OrtLogger* logger,
                                           OrtEp** ep) noexcept;
  static void ORT_API_CALL release_ep(OrtEpFactory* self, OrtEp* ep) noexcept;
  // ONNX Runtime calls these without asking whether they are set: none of these things is offered.
  static OrtStatus* ORT_API_CALL no_allocator(OrtEpFactory* self, const OrtMemoryInfo* memory,
                                              const OrtKeyValuePairs* options, OrtAllocator** allocator) noexcept;
  static void ORT_API_CALL release_no_allocator(OrtEpFactory* self, OrtAllocator* allocator) noexcept;
  static OrtStatus* ORT_API_CALL no_data_transfer(OrtEpFactory* self, OrtDataTransferImpl** transfer) noexcept;
  static bool ORT_API_CALL not_stream_aware(const OrtEpFactory* self) noexcept;
  static OrtStatus* ORT_API_CALL count_domains(OrtEpFactory* self, size_t* count) noexcept;
  static OrtStatus* ORT_API_CALL get_domains(OrtEpFactory* self, OrtCustomOpDomain** domains, size_t count) noexcept;

  const Api api_;
  SharedModels models_;
};

}  // namespace lpc
