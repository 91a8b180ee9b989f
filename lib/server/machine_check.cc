#include "lib/server/machine_check.h"

#include "lib/core/base/strings.h"
#include "lib/server/endpoints.h"
#include "lib/server/spool_folder.h"
#include "lib/store/queue/spool_names.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Diagnostic;
using policy::Diagnostics;
using policy::Listener;

constexpr char kAddress[] = "address";
constexpr char kPortTaken[] = "port-taken";
constexpr char kSpool[] = "spool";

Diagnostic Mistake(const policy::SourceLocation& at, const char* code, std::string message,
                   std::string edit) {
  Diagnostic found = policy::MakeError(at, std::move(message));
  found.code = code;
  found.edit = std::move(edit);
  return found;
}

// OwnServerRuns tells whether a server of ours holds the spool.
bool OwnServerRuns(rt::World& world, const std::string& spool) {
  rt::OpenOptions open;
  open.write = true;
  const StatusOr<std::unique_ptr<rt::File>> lock = world.files().Open(spool + "/lock", open);
  if (lock.ok()) return !(*lock)->TryLock().ok();
  // Somebody's whose spool we may not look into.
  return lock.status().code() == StatusCode::kPermissionDenied;
}

void CheckPorts(rt::World& world, const Config& config, bool own_server_runs, Diagnostics* out) {
  const std::vector<rt::InterfaceAddress> interfaces = world.network().Interfaces();
  for (const Listener& listener : config.listeners) {
    if (listener.is_socket) continue;
    const StatusOr<std::vector<Endpoint>> endpoints = ResolveListener(listener, interfaces);
    if (!endpoints.ok()) continue;  // told by the start's own check
    for (const Endpoint& endpoint : *endpoints) {
      const Status bound =
          world.network().Listen(world.main_loop(), endpoint, rt::ListenOptions()).status();
      // Without privilege nobody can tell: who serves may have it.
      if (bound.ok() || bound.code() == StatusCode::kPermissionDenied) continue;
      if (bound.code() != StatusCode::kAlreadyExists) {
        out->push_back(Mistake(
            listener.location, kAddress,
            StrCat("cannot listen on ", endpoint.ToString(), ": ", std::string(Message(bound))),
            "name an address or an interface that this machine has"));
        break;
      }
      if (own_server_runs) continue;
      out->push_back(
          Mistake(listener.options.Find("port", listener.location), kPortTaken,
                  StrCat(endpoint.ToString(), " is taken: another program listens there"),
                  StrCat("stop it (`ss -ltnp sport = :", endpoint.port,
                         "` names it), or give this listener another port")));
      break;
    }
  }
}

// TrySpool makes what a start would make first, and takes it away again.
Status TrySpool(rt::Files& files, const std::string& spool) {
  POSTERN_RETURN_IF_ERROR(CheckSpool(files, spool));
  const StatusOr<rt::FileInfo> there = files.Stat(spool);
  if (there.status().code() == StatusCode::kNotFound) {
    POSTERN_RETURN_IF_ERROR(files.MakeDirectory(spool, 0711));
    return files.RemoveDirectory(spool);
  }
  if (!there.ok()) return there.status();
  const std::string probe = StrCat(spool, "/", store::kProbeName);
  rt::OpenOptions open;
  open.write = open.create = true;
  const Status made = files.Open(probe, open).status();
  // A disk that is full keeps no server from its start.
  if (made.code() == StatusCode::kResourceExhausted) return OkStatus();
  POSTERN_RETURN_IF_ERROR(made);
  return files.Unlink(probe);
}

}  // namespace

void CheckMachine(rt::World& world, const Config& config, const ServerOptions& options,
                  Diagnostics* out) {
  std::string spool = options.spool_path.empty() ? SpoolOf(config) : options.spool_path;
  spool = WithoutLastSlash(std::move(spool));
  const bool own_server_runs = OwnServerRuns(world, spool);
  CheckPorts(world, config, own_server_runs, out);
  if (own_server_runs) return;
  const Status tried = TrySpool(world.files(), spool);
  if (tried.ok()) return;
  const policy::SourceLocation at = options.spool_path.empty() && !config.spool.empty()
                                        ? config.spool_location
                                        : policy::SourceLocation{options.config_path, 0, 0};
  // The start's own check may have said so.
  for (const Diagnostic& each : *out) {
    if (each.location.line == at.line && at.line > 0 && each.severity == policy::Severity::kError)
      return;
  }
  Diagnostic found = Mistake(
      at, kSpool, StrCat("spool \"", Escape(spool, 200), "\": ", std::string(Message(tried))),
      "name a folder that can be made or written, or make it");
  if (tried.code() == StatusCode::kPermissionDenied && world.processes().Self().uid != 0) {
    // Whoever serves may have the permission; in the default's place he mostly has.
    if (options.spool_path.empty() && config.spool.empty()) return;
    found.severity = policy::Severity::kWarning;
  }
  out->push_back(std::move(found));
}

bool IsOfMachine(const Diagnostic& finding) {
  return finding.code == kAddress || finding.code == kPortTaken || finding.code == kSpool;
}

}  // namespace postern::server
