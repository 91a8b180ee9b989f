#include "lib/server/pam_services.h"

#include <set>

#include "lib/core/base/strings.h"
#include "lib/rt/helper.h"

namespace postern::server {
namespace {

using policy::Listener;
using policy::ListenerAuth;

// libpam's own folders, first its administrator's. One of Debian's has no other; others of Linux
// keep their distributor's files in the second.
constexpr const char* kFolders[] = {"/etc/pam.d", "/usr/lib/pam.d"};
constexpr char kOldFile[] = "/etc/pam.conf";
constexpr uint32_t kOthersWrite = 022;
constexpr Duration kStartLimit = absl::Seconds(20);

// InfoOf follows a link to a file.
StatusOr<rt::FileInfo> InfoOf(rt::Files& files, const std::string& path) {
  StatusOr<rt::FileInfo> info = files.Stat(path);
  if (!info.ok() || info->kind != rt::FileInfo::Kind::kSymlink) return info;
  rt::OpenOptions options;
  options.follow_symlink = true;
  const StatusOr<std::unique_ptr<rt::File>> file = files.Open(path, options);
  if (!file.ok()) return file.status();
  return (*file)->Stat();
}

const policy::SourceLocation& PlaceOf(const Listener& listener) {
  const char* const word = listener.auth == ListenerAuth::kRequired ? "auth" : "auth-optional";
  return listener.options.Find(word, listener.location);
}

// FirstOfEach gives the first listener of each service.
std::vector<const Listener*> FirstOfEach(const policy::Config& config) {
  std::set<rt::PamService> seen;
  std::vector<const Listener*> first;
  for (const Listener& listener : config.listeners) {
    if (!listener.pam_service.empty() && seen.insert(PamServiceOf(listener)).second)
      first.push_back(&listener);
  }
  return first;
}

// CheckOwner tells of a file or folder that others than root may change.
void CheckOwner(rt::Files& files, const std::string& path, const policy::SourceLocation& at,
                policy::Diagnostics* diagnostics) {
  const StatusOr<rt::FileInfo> info = InfoOf(files, path);
  if (!info.ok() || (info->uid == 0 && (info->mode & kOthersWrite) == 0)) return;
  diagnostics->push_back(policy::MakeError(
      at, StrCat("auth pam: ", Escape(path, 200),
                 " must be root's, and nobody else's to write (chown root, chmod go-w): what a "
                 "service says is run as root")));
}

}  // namespace

void CheckPamServices(rt::World& world, const policy::Config& config,
                      policy::Diagnostics* diagnostics) {
  rt::Files& files = world.files();
  const auto is_there = [&files](const std::string& path) {
    return files.Stat(path).status().code() != StatusCode::kNotFound;
  };
  for (const Listener* listener : FirstOfEach(config)) {
    const policy::SourceLocation& at = PlaceOf(*listener);
    const std::string& name = listener->pam_service;
    if (!listener->pam_folder.empty()) {
      const std::string path = StrCat(listener->pam_folder, "/", name);
      if (!is_there(path)) {
        diagnostics->push_back(policy::MakeError(
            at, StrCat("auth pam: there is no file ", Escape(path, 200),
                       ", the service of PAM by which logins are to be checked")));
        continue;
      }
      CheckOwner(files, listener->pam_folder, at, diagnostics);
      CheckOwner(files, path, at, diagnostics);
      continue;
    }
    bool found = is_there(kOldFile) && !is_there(kFolders[0]);
    for (const char* folder : kFolders) found = found || is_there(StrCat(folder, "/", name));
    if (found) continue;
    policy::Diagnostic warning =
        policy::MakeWarning(at, StrCat("auth pam: there is no file /etc/pam.d/", name,
                                       ": PAM checks these logins by its service `other`"));
    warning.code = "pam-service";
    warning.edit = "make the file, or name a service that is there";
    diagnostics->push_back(std::move(warning));
  }
}

void AllowPamServices(rt::World& world, const policy::Config& config,
                      policy::Diagnostics* diagnostics) {
  rt::Helper* const helper = world.login_helper();
  for (const Listener* listener : FirstOfEach(config)) {
    if (helper == nullptr) {
      diagnostics->push_back(policy::MakeError(
          PlaceOf(*listener),
          "auth pam takes a helper process that asks PAM as root, and there is none: start the "
          "server as root, and as one that becomes another account (`-u`, by default postern)"));
      continue;
    }
    rt::PamQuestion question;
    question.service = PamServiceOf(*listener);
    Status started = helper->AllowPam(question.service);
    if (started.ok()) {
      StatusOr<std::unique_ptr<rt::HelperAnswer>> asked = helper->BeginPam(question, kStartLimit);
      started = asked.status();
      if (asked.ok()) {
        (*asked)->Wait(kStartLimit);
        const StatusOr<std::string> octets = (*asked)->Result();
        started = octets.ok() ? rt::DecodePamAnswer(*octets).status() : octets.status();
      }
    }
    if (started.ok()) continue;
    diagnostics->push_back(
        policy::MakeError(PlaceOf(*listener), StrCat("auth pam: ", Message(started))));
  }
}

}  // namespace postern::server
