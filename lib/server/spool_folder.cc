#include "lib/server/spool_folder.h"

#include <cerrno>

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/diagnostic.h"

namespace postern::server {
namespace {

constexpr char kDefaultSpool[] = "/var/spool/postern";

}  // namespace

std::string SpoolOf(const policy::Config& config) {
  return config.spool.empty() ? kDefaultSpool : config.spool;
}

std::string WithoutLastSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

Status CheckSpool(rt::Files& files, const std::string& path) {
  using Kind = rt::FileInfo::Kind;
  const auto is_no_folder = [](const StatusOr<rt::FileInfo>& info) {
    return info.ok() && (info->kind == Kind::kRegular || info->kind == Kind::kOther);
  };
  const auto no_folder = [](const std::string& name) {
    return SameCause(ErrnoError(ENOTDIR, name), StatusCode::kFailedPrecondition,
                     StrCat(Escape(name), " is no folder: name another spool"));
  };
  const StatusOr<rt::FileInfo> there = files.Stat(path);
  if (is_no_folder(there)) return no_folder(path);
  const size_t slash = path.rfind('/');
  if (there.ok() || slash == std::string::npos || slash == 0) return OkStatus();
  const std::string parent = path.substr(0, slash);
  const StatusOr<rt::FileInfo> above = files.Stat(parent);
  if (above.status().code() == StatusCode::kNotFound)
    return SameCause(
        above.status(), StatusCode::kNotFound,
        StrCat("the folder ", Escape(parent), " does not exist: make it, or name another spool"));
  if (is_no_folder(above)) return no_folder(parent);
  return OkStatus();
}

Status MakeSpool(rt::Files& files, std::string path) {
  path = WithoutLastSlash(std::move(path));
  POSTERN_RETURN_IF_ERROR(CheckSpool(files, path));
  return rt::MakeDirectories(files, path, 0711);
}

namespace {

// AsOfSpool gives `status` the code that tells a host the one thing it can act on: whether somebody
// else has the spool, or it cannot be had at all.
Status AsOfSpool(const Status& status) {
  StatusCode code = status.code();
  switch (code) {
    case StatusCode::kUnavailable:
      // A lock that somebody holds has no errno; no descriptors (EMFILE) is nobody's doing.
      if (ErrnoOf(status) != 0) return status;
      code = StatusCode::kFailedPrecondition;
      break;
    case StatusCode::kNotFound:
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition: code = StatusCode::kUnavailable; break;
    default: return status;
  }
  return SameCause(status, code, std::string(Message(status)));
}

}  // namespace

Status SpoolError(const Status& failed, const std::string& spool, const ServerOptions& options,
                  const policy::Config& config) {
  const Status status = AsOfSpool(failed);
  if (options.spool_path.empty() && !config.spool.empty()) {
    return Annotate(
        status,
        policy::MakeError(config.spool_location, StrCat("spool \"", spool, "\"")).ToString());
  }
  return Annotate(status, StrCat("spool \"", spool, "\"",
                                 options.spool_path.empty()
                                     ? " (the default; `spool \"/path\"` in the configuration "
                                       "names another)"
                                     : ""));
}

}  // namespace postern::server
