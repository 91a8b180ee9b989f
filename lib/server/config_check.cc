#include "lib/server/config_check.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "lib/core/base/strings.h"
#include "lib/core/tls/certificate.h"
#include "lib/server/alias_check.h"
#include "lib/server/config_resolver.h"
#include "lib/server/filter_programs.h"
#include "lib/server/machine_check.h"
#include "lib/server/runtime.h"
#include "lib/store/table/source_loader.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Diagnostic;
using policy::Diagnostics;
using policy::Listener;

Diagnostic Finding(const policy::SourceLocation& at, const char* code, std::string message,
                   std::string edit) {
  Diagnostic found = policy::MakeWarning(at, std::move(message));
  found.code = code;
  found.edit = std::move(edit);
  return found;
}

// --- certificates ---

StatusOr<tls::CertificateInfo> FirstCertificate(rt::World& world, const policy::Pki& pki) {
  const StatusOr<std::string> pem =
      store::ReadTextFile(world.files(), pki.certificate_path, tls::kMaxPemBytes);
  if (!pem.ok()) return pem.status();
  const StatusOr<std::vector<tls::CertificateInfo>> chain = tls::ReadCertificates(*pem);
  if (!chain.ok()) return chain.status();
  return chain->front();
}

void CheckExpiry(rt::World& world, const Config& config, Duration soon, Diagnostics* out) {
  const WallTime now = world.clock().WallNow();
  for (const policy::Pki& pki : config.pkis) {
    const StatusOr<tls::CertificateInfo> certificate = FirstCertificate(world, pki);
    // What has ended already, or cannot be read, is told by the start's own check.
    if (!certificate.ok() || certificate->not_after <= now || certificate->not_after > now + soon)
      continue;
    const int64_t days = (certificate->not_after - now) / absl::Hours(24);
    out->push_back(
        Finding(pki.certificate_location, "certificate-expires",
                StrCat(pki.certificate_path, ": the certificate of pki \"", Escape(pki.name, 80),
                       "\" ends in ", days, days == 1 ? " day" : " days"),
                "renew it, then reload"));
  }
}

// CheckNames looks whether clients that compare names (mail programs, servers with DANE or MTA-STS)
// will be content with what a listener shows.
void CheckNames(rt::World& world, const Runtime& runtime, Diagnostics* out) {
  const Config& config = runtime.config();
  std::set<std::string> told;
  for (const Listener& listener : config.listeners) {
    if (listener.tls == policy::ListenerTls::kNone || policy::IsLoopbackListener(listener))
      continue;
    const std::string& name = listener.hostname.empty() ? runtime.server_name() : listener.hostname;
    std::vector<int> pkis = listener.pkis;
    if (pkis.empty()) {
      for (size_t i = 0; i < config.pkis.size(); ++i) pkis.push_back(static_cast<int>(i));
    }
    std::string names;
    bool carried = pkis.empty();
    for (const int index : pkis) {
      const StatusOr<tls::CertificateInfo> certificate =
          FirstCertificate(world, config.pkis[static_cast<size_t>(index)]);
      carried = carried || !certificate.ok() || tls::CheckName(*certificate, name).ok();
      if (!certificate.ok()) continue;
      for (const std::string& each : certificate->names)
        StrAppend(names, names.empty() ? "" : ", ", Escape(each, 80));
    }
    if (carried || !told.insert(name + "\n" + names).second) continue;
    const policy::SourceLocation& at = listener.options.Find("pki", listener.location);
    out->push_back(Finding(
        at, "certificate-name",
        StrCat("this listener calls itself ", name, ", and its certificate is for ",
               names.empty() ? "no name" : names, ": clients that compare them will refuse it"),
        StrCat("get a certificate for ", name,
               names.empty() ? "" : ", or say hostname with a name that it carries")));
  }
}

// --- backup ---

struct BackupDomain {
  const policy::Action* action = nullptr;
  std::string domain;
};

std::vector<BackupDomain> BackupDomains(const Config& config, size_t max) {
  std::vector<BackupDomain> out;
  for (const policy::Rule& rule : config.rules) {
    if (rule.IsReject() || rule.for_kind != policy::ForKind::kDomain || rule.to.negated ||
        rule.to.regex)
      continue;
    const policy::Action& action = config.actions[static_cast<size_t>(rule.action)];
    if (!action.relay.backup) continue;
    for (const policy::TableEntry& entry :
         config.tables[static_cast<size_t>(rule.to.table)].entries) {
      if (out.size() >= max) return out;
      if (entry.key.find('*') == std::string::npos) out.push_back({&action, AsciiLower(entry.key)});
    }
  }
  return out;
}

rt::Task<void> CheckBackups(rt::World* world, std::shared_ptr<const Runtime> runtime,
                            resolve::Resolver* given, ConfigCheckOptions options,
                            Diagnostics* out) {
  const std::vector<BackupDomain> domains =
      BackupDomains(runtime->config(), options.max_backup_domains);
  if (domains.empty()) co_return;
  std::unique_ptr<resolve::Resolver> own;
  if (given == nullptr) {
    StatusOr<std::unique_ptr<resolve::Resolver>> made = MakeResolver(*world, runtime->config());
    if (!made.ok()) co_return;
    own = std::move(*made);
    given = own.get();
  }
  rt::Executor& loop = world->main_loop();
  const Instant deadline = loop.Now() + options.dns_timeout;
  for (const BackupDomain& each : domains) {
    const StatusOr<dns::Name> name = dns::Name::Parse(each.domain);
    if (!name.ok()) continue;
    const dns::Answer answer = co_await given->Resolve(loop, *name, dns::Type::kMx, deadline);
    if (!answer.ok()) continue;
    const policy::Action& action = *each.action;
    const std::string own_name = AsciiLower(
        action.relay.backup_mx.empty() ? runtime->server_name() : action.relay.backup_mx);
    int best = INT32_MAX;
    int ours = -1;
    for (const dns::Record& record : answer.records) {
      const auto* mx = std::get_if<dns::MxData>(&record.data);
      if (mx == nullptr) continue;
      best = std::min<int>(best, mx->preference);
      if (EqualsIgnoreCase(mx->exchange.ToString(), own_name)) ours = mx->preference;
    }
    if (ours < 0 || ours > best) continue;
    out->push_back(Finding(
        action.options.Find("backup", action.location), "backup-mx",
        StrCat(own_name, " is the best exchanger of ", each.domain, " (MX ", ours,
               "): none is before it, so its mail would wait here until it expires"),
        EqualsIgnoreCase(own_name, runtime->server_name())
            ? std::string("deliver it here (an action that is not relay), or mend the MX records")
            : StrCat("name this server as the domain's MX records have it: backup mx \"",
                     runtime->server_name(), "\"")));
  }
  if (own != nullptr) own->Stop();
}

// --- filter programs ---

// OpenSMTPD's check does not look for them, and a file may be checked where they are not installed:
// no error.
void CheckFilterPrograms(rt::World& world, const Config& config, Diagnostics* out) {
  for (const policy::Filter& filter : config.filters) {
    if (filter.kind != policy::FilterKind::kProgram) continue;
    const policy::Proc& proc = config.procs[static_cast<size_t>(filter.proc)];
    const std::optional<std::string> why = WhyNoProgram(world, config, proc);
    if (!why.has_value()) continue;
    out->push_back(Finding(
        filter.location, "filter-away",
        StrCat("filter ", Escape(filter.name, 80), ": its program cannot be started: ", *why),
        "install it, or correct its command; until then its listeners refuse mail for now"));
  }
}

// --- delivery programs ---

// ProgramOf gives the program that `command` begins with where that is a path; "" for a word that
// the shell looks for, and for a path that it, or the message, has a part in.
std::string ProgramOf(std::string_view command) {
  command = Trim(command);
  if (command.starts_with("exec ")) command = Trim(command.substr(5));
  const std::string_view program = command.substr(0, command.find_first_of(" \t"));
  constexpr std::string_view kShell = "%$`*?[]{}()<>|&;'\"\\~";
  if (program.empty() || program[0] != '/' ||
      program.find_first_of(kShell) != std::string_view::npos)
    return "";
  return std::string(program);
}

// WhyNotRun says why `program` cannot be run by anybody; "" when it can, or we cannot know.
std::string WhyNotRun(rt::World& world, const std::string& program) {
  constexpr uint32_t kAnyExecute = 0111;
  rt::OpenOptions open;
  open.follow_symlink = true;
  StatusOr<rt::FileInfo> info = world.files().Stat(program);
  if (info.ok() && info->kind == rt::FileInfo::Kind::kSymlink) {
    const StatusOr<std::unique_ptr<rt::File>> file = world.files().Open(program, open);
    if (file.ok()) {
      info = (*file)->Stat();
    } else {
      info = file.status();
    }
  }
  if (!info.ok())
    return info.status().code() == StatusCode::kNotFound ? "there is no such file" : "";
  if (info->kind == rt::FileInfo::Kind::kDirectory) return "it is a folder";
  return (info->mode & kAnyExecute) == 0 ? "it is not executable" : "";
}

void CheckPrograms(rt::World& world, const Config& config, Diagnostics* out) {
  const auto check = [&](const policy::SourceLocation& at, const std::string& what,
                         const std::string& command) {
    const std::string program = ProgramOf(command);
    if (program.empty()) return;
    const std::string why = WhyNotRun(world, program);
    if (why.empty()) return;
    out->push_back(Finding(at, "mda-program",
                           StrCat(what, ": ", Escape(program, 200), " cannot be run: ", why,
                                  ", and its mail would be returned"),
                           why == "it is not executable"
                               ? StrCat("chmod +x ", Escape(program, 200))
                               : std::string("install it, or mend its path")));
  };
  for (const policy::Action& action : config.actions) {
    if (action.kind == policy::ActionKind::kMda)
      check(action.options.Find("mda", action.location),
            StrCat("action \"", Escape(action.name, 80), "\""), action.mda_command);
  }
  for (const policy::MdaWrapper& wrapper : config.wrappers)
    check(wrapper.location, StrCat("mda wrapper \"", Escape(wrapper.name, 80), "\""),
          wrapper.command);
}

// --- milters ---

rt::Task<void> CheckMilters(rt::World* world, std::shared_ptr<const Runtime> runtime,
                            Duration timeout, Diagnostics* out) {
  const Config& config = runtime->config();
  for (const policy::Filter& filter : config.filters) {
    if (filter.kind != policy::FilterKind::kMilter) continue;
    const Endpoint& endpoint = config.milters[static_cast<size_t>(filter.milter)].endpoint;
    rt::Executor& loop = world->main_loop();
    auto connecting =
        world->network().Connect(loop, endpoint, rt::ConnectOptions(), loop.Now() + timeout);
    StatusOr<std::unique_ptr<rt::Stream>> stream = co_await std::move(connecting);
    if (stream.ok()) {
      (*stream)->Close();
      continue;
    }
    out->push_back(Finding(
        filter.location, "milter-away",
        StrCat("filter ", Escape(filter.name, 80), ": no milter can be reached at ",
               endpoint.ToString(), ": ", Message(stream.status())),
        "start it, or correct its socket; until then mail gets what the filter's default says"));
  }
}

}  // namespace

rt::Task<Diagnostics> CheckConfig(rt::World* world, const ServerOptions* server,
                                  ConfigCheckOptions options) {
  LoadedConfig loaded = LoadConfig(*world, *server);
  Diagnostics found = std::move(loaded.diagnostics);
  if (loaded.runtime != nullptr) {
    const Runtime& runtime = *loaded.runtime;
    const Config& config = runtime.config();
    std::erase_if(found, [](const Diagnostic& d) { return d.code == "open-relay"; });
    Diagnostics advice = policy::Advise(runtime.ruleset(), options.advice);
    found.insert(found.end(), std::make_move_iterator(advice.begin()),
                 std::make_move_iterator(advice.end()));
    CheckExpiry(*world, config, options.expires_soon, &found);
    CheckNames(*world, runtime, &found);
    CheckAliasTables(*world, runtime, &found);
    CheckPrograms(*world, config, &found);
    if (!server->in_memory) CheckMachine(*world, config, *server, &found);
    CheckFilterPrograms(*world, config, &found);
    auto milters = CheckMilters(world, loaded.runtime, options.milter_timeout, &found);
    co_await std::move(milters);
    auto backups = CheckBackups(world, loaded.runtime, server->resolver, options, &found);
    co_await std::move(backups);
  }
  std::erase_if(found, [&options](const Diagnostic& d) {
    return (d.severity != policy::Severity::kError || IsOfMachine(d)) && !d.code.empty() &&
           std::find(options.ignore.begin(), options.ignore.end(), d.code) != options.ignore.end();
  });
  policy::SortByPlace(&found);
  co_return found;
}

}  // namespace postern::server
