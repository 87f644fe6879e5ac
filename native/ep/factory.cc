#include "ep/factory.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <memory>

#include "ep/fallback_op.h"

namespace lpc {
namespace {

constexpr uint32_t kDomainsVersion = 24;  // the first ONNX Runtime that asks a factory for its operators

// 31 of "1.31.1"; 0 of anything else.
uint32_t minor_version(const std::string& version) {
  const size_t dot = version.find('.');
  return dot == std::string::npos ? 0 : static_cast<uint32_t>(std::strtoul(version.c_str() + dot + 1, nullptr, 10));
}

}  // namespace

Factory::Factory(const Api& api, const std::string& ort_version) : EpFactory124{}, api_(api) {
  ort_version_supported = minor_version(ort_version) >= kDomainsVersion ? kDomainsVersion : kOrtApiVersion;
  GetName = get_name;
  GetVendor = get_vendor;
  GetVendorId = get_vendor_id;
  GetVersion = get_version;
  GetSupportedDevices = get_devices;
  CreateEp = create_ep;
  ReleaseEp = release_ep;
  CreateAllocator = no_allocator;
  ReleaseAllocator = release_no_allocator;
  CreateDataTransfer = no_data_transfer;
  IsStreamAware = not_stream_aware;
  GetNumCustomOpDomains = count_domains;
  GetCustomOpDomains = get_domains;
}

// Provider options reach a plugin as session configuration entries "ep.<lower-case name>.<key>".
ProviderOptions Factory::read_options(const OrtSessionOptions* options) const {
  std::string prefix = std::string("ep.") + kProviderName + ".";
  std::transform(prefix.begin(), prefix.end(), prefix.begin(), [](unsigned char c) { return std::tolower(c); });
  OrtKeyValuePairs* entries = nullptr;
  api_.check(api_.ort->GetSessionOptionsConfigEntries(options, &entries));
  const std::unique_ptr<OrtKeyValuePairs, decltype(api_.ort->ReleaseKeyValuePairs)> owner(
      entries, api_.ort->ReleaseKeyValuePairs);
  const char* const* keys = nullptr;
  const char* const* values = nullptr;
  size_t count = 0;
  api_.ort->GetKeyValuePairs(entries, &keys, &values, &count);
  std::map<std::string, std::string> given;
  for (size_t i = 0; i < count; ++i) {
    const std::string key = keys[i];
    if (key.starts_with(prefix)) given[key.substr(prefix.size())] = values[i];
  }
  return parse_options(given);
}

const char* ORT_API_CALL Factory::get_name(const OrtEpFactory*) noexcept { return kProviderName; }
const char* ORT_API_CALL Factory::get_vendor(const OrtEpFactory*) noexcept { return "LPC"; }
uint32_t ORT_API_CALL Factory::get_vendor_id(const OrtEpFactory*) noexcept { return 0; }  // no PCI vendor
const char* ORT_API_CALL Factory::get_version(const OrtEpFactory*) noexcept { return lpc_version(); }

OrtStatus* ORT_API_CALL Factory::get_devices(OrtEpFactory* self, const OrtHardwareDevice* const* devices,
                                             size_t device_count, OrtEpDevice** ep_devices, size_t capacity,
                                             size_t* ep_device_count) noexcept {
  auto* factory = static_cast<Factory*>(self);
  const Api& api = factory->api_;
  return api.guard([&] {
    *ep_device_count = 0;
    for (size_t i = 0; i < device_count && *ep_device_count < capacity; ++i) {
      if (api.ort->HardwareDevice_Type(devices[i]) != OrtHardwareDeviceType_CPU) continue;
      api.check(api.ep->CreateEpDevice(factory, devices[i], nullptr, nullptr, &ep_devices[*ep_device_count]));
      ++*ep_device_count;
    }
  });
}

OrtStatus* ORT_API_CALL Factory::create_ep(OrtEpFactory* self, const OrtHardwareDevice* const*,
                                           const OrtKeyValuePairs* const*, size_t device_count,
                                           const OrtSessionOptions* options, const OrtLogger* logger,
                                           OrtEp** ep) noexcept {
  auto* factory = static_cast<Factory*>(self);
  return factory->api_.guard([&] {
    *ep = nullptr;
    if (device_count != 1) {
      throw Error(LPC_INVALID_ARGUMENT, "got " + std::to_string(device_count) + " devices, expected the CPU alone");
    }
    *ep = new Provider(factory->api_, factory->models_, factory->read_options(options), logger);
  });
}

void ORT_API_CALL Factory::release_ep(OrtEpFactory*, OrtEp* ep) noexcept { delete static_cast<Provider*>(ep); }

OrtStatus* ORT_API_CALL Factory::no_allocator(OrtEpFactory*, const OrtMemoryInfo*, const OrtKeyValuePairs*,
                                              OrtAllocator** allocator) noexcept {
  *allocator = nullptr;
  return nullptr;
}

void ORT_API_CALL Factory::release_no_allocator(OrtEpFactory*, OrtAllocator*) noexcept {}

OrtStatus* ORT_API_CALL Factory::no_data_transfer(OrtEpFactory*, OrtDataTransferImpl** transfer) noexcept {
  *transfer = nullptr;
  return nullptr;
}

OrtStatus* ORT_API_CALL Factory::count_domains(OrtEpFactory*, size_t* count) noexcept {
  *count = 1;
  return nullptr;
}

OrtStatus* ORT_API_CALL Factory::get_domains(OrtEpFactory* self, OrtCustomOpDomain** domains, size_t count) noexcept {
  const Api& api = static_cast<Factory*>(self)->api_;
  return api.guard([&] {
    if (count > 0) domains[0] = decompress_domain(api);
  });
}

bool ORT_API_CALL Factory::not_stream_aware(const OrtEpFactory*) noexcept { return false; }

}  // namespace lpc
