#include "store/data_file.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/error.h"

namespace lpc {
namespace {

namespace fs = std::filesystem;

bool is_within(const fs::path& file, const fs::path& folder) {
  return std::mismatch(folder.begin(), folder.end(), file.begin(), file.end()).first == folder.end();
}

// CACHE/models--NAME/snapshots/REVISION/FILE links to CACHE/models--NAME/blobs, and from there, where files are shared
// between models, to CACHE/blobs.
bool is_hub_blob(const fs::path& file, const fs::path& folder) {
  for (fs::path at = folder; at.has_relative_path(); at = at.parent_path()) {
    const fs::path model = at.parent_path();
    if (at.filename() != "snapshots" || model.filename().string().find("--") == std::string::npos) continue;
    return is_within(file, model / "blobs") || is_within(file, model.parent_path() / "blobs");
  }
  return false;
}

bool climbs(const fs::path& location) { return std::find(location.begin(), location.end(), "..") != location.end(); }

[[noreturn]] void refuse(const fs::path& folder, const fs::path& location) {
  throw Error(LPC_FORMAT_ERROR, "data file " + location.string() + ": lies outside the model's folder " +
                                    folder.string() + ", expected a file in it");
}

}  // namespace

std::string data_file(const fs::path& folder, const fs::path& location) {
  if (folder.empty()) {
    throw Error(LPC_INVALID_ARGUMENT,
                "data file " + location.string() +
                    ": a model made from bytes has no folder to look for it; name one with provider option "
                    "model_folder");
  }
  if (climbs(location)) refuse(folder, location);
  const fs::path file = folder / location;  // an absolute location stays what it is
  std::error_code failed;
  const fs::path real_folder = fs::canonical(folder, failed);
  if (failed) throw Error(LPC_NOT_FOUND, folder.string() + ": the model's folder: " + failed.message());
  const fs::path real_file = fs::weakly_canonical(file, failed);
  if (failed) throw Error(LPC_IO_ERROR, file.string() + ": cannot be followed: " + failed.message());
  if (!is_within(real_file, real_folder) && !is_hub_blob(real_file, real_folder)) refuse(folder, location);
  struct stat status{};
  if (stat(file.c_str(), &status) == 0) require_regular(file.string(), status.st_mode);
  return file.string();
}

void require_regular(const std::string& path, unsigned mode) {
  if (S_ISREG(mode)) return;
  const char* what = S_ISDIR(mode)                    ? "a folder"
                     : S_ISFIFO(mode)                 ? "a named pipe"
                     : S_ISSOCK(mode)                 ? "a socket"
                     : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
                                                      : "no file";
  throw Error(LPC_FORMAT_ERROR, path + ": is " + what + ", expected a regular file");
}

}  // namespace lpc
