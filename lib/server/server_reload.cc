// A server takes a configuration that was read anew.
#include <mutex>

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/server/pam_services.h"
#include "lib/server/server_config.h"
#include "lib/server/server_parts.h"
#include "lib/server/spool_folder.h"

namespace postern::server {
namespace {

using policy::Config;

// WarnOfSeal says what of `wanted` the queue that is open goes without.
void WarnOfSeal(const policy::QueueSettings& open, const Config& wanted,
                policy::Diagnostics* diagnostics) {
  const auto tell = [&](const policy::SourceLocation& written, std::string_view what) {
    policy::SourceLocation at = written;
    if (at.line == 0) at.file = wanted.file_name;
    diagnostics->push_back(policy::MakeWarning(
        at, StrCat(what,
                   " is not as it was: that takes a restart; until then the queue is written "
                   "as before")));
  };
  if (open.compression != wanted.queue.compression)
    tell(wanted.queue.compression_location, "queue compression");
  if (open.encryption != wanted.queue.encryption ||
      open.encryption_key != wanted.queue.encryption_key)
    tell(wanted.queue.encryption_location, "queue encryption");
}

}  // namespace

// Configure gives the parts that run what `runtime` says of them.
void Server::Configure(Parts* parts, const Runtime& runtime) {
  parts->scheduler->Configure(SchedulerOptionsOf(runtime));
  const deliver::ProgramDelivererOptions programs = ProgramOptionsOf(runtime);
  parts->programs->SetMaxPrograms(programs.max_programs, programs.max_programs_per_user);
  parts->lmtp->SetMaxBatches(LmtpOptions(runtime).max_batches);
  parts->queue->SetReserve(ReserveOf(runtime.config(), parts->options));
}

Status Server::Reload(policy::Diagnostics* diagnostics) {
  Parts& parts = *parts_;
  const std::lock_guard<std::mutex> lock(parts.reload_mutex);
  if (parts.stopping) return FailedPrecondition("the server was told to stop");
  LoadedConfig config = LoadConfig(*parts.world, parts.options, parts.log);
  *diagnostics = std::move(config.diagnostics);
  if (config.runtime == nullptr)
    return InvalidArgument("the configuration is wrong; the old one stays in force");
  if (!parts.started) {
    parts.runtimes->Set(std::move(config.runtime));
    parts.first = std::move(config.copy);
    return OkStatus();
  }
  if (parts.kept.has_value()) {
    CheckReloadNeeds(config.runtime->config(), *parts.kept, diagnostics);
    if (policy::HasErrors(*diagnostics))
      return FailedPrecondition("it needs a restart; the old one stays in force");
  }
  AllowPamServices(*parts.world, config.runtime->config(), diagnostics);
  if (policy::HasErrors(*diagnostics))
    return FailedPrecondition("PAM cannot be asked; the old one stays in force");
  if (const Config& wanted = config.runtime->config();
      parts.options.spool_path.empty() && !parts.spool.empty() && SpoolOf(wanted) != parts.spool) {
    policy::SourceLocation at = wanted.spool_location;
    if (wanted.spool.empty()) at.file = wanted.file_name;
    diagnostics->push_back(policy::MakeWarning(
        at,
        StrCat("spool \"", Escape(SpoolOf(wanted), 200),
               "\" takes a restart: until then the queue stays in ", Escape(parts.spool, 200))));
  }
  if (parts.archive != nullptr) WarnOfSeal(parts.sealed, config.runtime->config(), diagnostics);
  const auto kept = [](const Status& status) {
    return SameCause(status, status.code(),
                     StrCat(Message(status), "\nthe old configuration stays in force"));
  };
  StatusOr<Ports::Plan> plan = parts.ports->Open(config.runtime);
  if (!plan.ok()) return kept(plan.status());
  const Status socket = parts.ports->OpenSocket(parts.spool, &*plan);
  if (!socket.ok()) return kept(socket);
  std::shared_ptr<resolve::Resolver> zone;
  if (parts.own_resolver != nullptr) {
    StatusOr<std::shared_ptr<resolve::Resolver>> read =
        ReadZone(*parts.world, config.runtime->config());
    if (!read.ok()) return kept(read.status());
    zone = *std::move(read);
  }
  if (parts.archive != nullptr) parts.archive->Keep(config.copy, config.runtime->config());
  parts.runtimes->Set(config.runtime);
  parts.world->main_loop().Post([&parts, runtime = config.runtime] {
    if (parts.started) parts.filters->Adopt(*runtime);
  });
  if (parts.own_resolver != nullptr)
    parts.own_resolver->Use(std::move(zone), config.runtime->config());
  Configure(&parts, *config.runtime);
  parts.ports->Adopt(std::move(*plan));
  return OkStatus();
}

}  // namespace postern::server
