#include "ep/external_data.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "store/data_file.h"

namespace lpc {
namespace {

// Of a graph that has none of our operators onnxruntime may name any version, for it declares none.
bool has_our_operators(const Api& api, const OrtGraph* graph) {
  const auto nodes = graph_nodes(api, graph);
  return std::any_of(nodes.begin(), nodes.end(),
                     [&](const OrtNode* node) { return node_is(api, node, kDomain, kDecompress); });
}

int64_t operator_version(const Api& api, const OrtGraph* graph) {
  if (!has_our_operators(api, graph)) return kOperatorVersion;
  size_t count = 0;
  api.check(api.ort->Graph_GetNumOperatorSets(graph, &count));
  std::vector<const char*> domains(count);
  std::vector<int64_t> versions(count);
  if (count > 0) api.check(api.ort->Graph_GetOperatorSets(graph, domains.data(), versions.data(), count));
  for (size_t i = 0; i < count; ++i) {
    if (std::string(domains[i]) == kDomain) return versions[i];
  }
  return kOperatorVersion;
}

std::vector<const OrtValueInfo*> initializers(const Api& api, const OrtGraph* graph) {
  size_t count = 0;
  api.check(api.ort->Graph_GetNumInitializers(graph, &count));
  std::vector<const OrtValueInfo*> values(count);
  if (count > 0) api.check(api.ort->Graph_GetInitializers(graph, values.data(), count));
  return values;
}

}  // namespace

std::optional<ExternalData> external_data(const Api& api, const OrtValueInfo* value) {
  OrtExternalInitializerInfo* info = nullptr;
  api.check(api.ort->ValueInfo_GetExternalInitializerInfo(value, &info));
  if (info == nullptr) return std::nullopt;
  ExternalData data{api.ort->ExternalInitializerInfo_GetFilePath(info),
                    static_cast<uint64_t>(api.ort->ExternalInitializerInfo_GetFileOffset(info)),
                    api.ort->ExternalInitializerInfo_GetByteSize(info)};
  api.ort->ReleaseExternalInitializerInfo(info);
  return data;
}

std::string model_folder(const Api& api, const OrtGraph* graph, const std::string& option) {
  if (!option.empty()) return option;
  const ORTCHAR_T* path = nullptr;
  api.check(api.ort->Graph_GetModelPath(graph, &path));
  if (path == nullptr || *path == '\0') return "";
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

void check_graph(const Api& api, const OrtGraph* graph, const std::string& folder_option) {
  const int64_t version = operator_version(api, graph);
  if (version > kOperatorVersion) {
    throw Error(LPC_UNSUPPORTED, "operator set " + std::string(kDomain) + ": got version " + std::to_string(version) +
                                     ", expected at most " + std::to_string(kOperatorVersion) +
                                     ": update lpc-edge-runtime to run this model");
  }
  std::set<std::string> files;
  for (const OrtValueInfo* value : initializers(api, graph)) {
    const auto data = external_data(api, value);
    if (data && files.insert(data->file).second) data_file(model_folder(api, graph, folder_option), data->file);
  }
}

}  // namespace lpc
