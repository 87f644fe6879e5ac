// Which file a model's external data may lie in: one of the model's own folder (docs/security.md).
#pragma once

#include <filesystem>
#include <string>

namespace lpc {

// The path of the data file that a model in `folder` names `location`; `folder` is empty where a model has none.
//
// A relative `location` begins at the folder. The file must be a regular one inside it, also after links are followed;
// but a snapshot of a Hub cache may link to the blobs of its cache. A file that is not there is for the caller to find.
// Throws LPC_INVALID_ARGUMENT without a folder, LPC_FORMAT_ERROR for a file outside or of another kind.
std::string data_file(const std::filesystem::path& folder, const std::filesystem::path& location);

// Throws LPC_FORMAT_ERROR naming `path` and what it is unless `mode` (of stat) is that of a regular file.
void require_regular(const std::string& path, unsigned mode);

}  // namespace lpc
