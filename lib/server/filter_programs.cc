#include "lib/server/filter_programs.h"

#include <iterator>
#include <new>
#include <set>
#include <utility>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/policy/shell_command.h"
#include "lib/rt/helper.h"
#include "lib/service/deliver/program.h"

namespace postern::server {
namespace {

using service::FilterProgram;
using service::FilterProgramOptions;

// What programs are told we are: the version of OpenSMTPD whose protocol this is.
constexpr char kVersion[] = "7.8.0-postern";

// KeyOf tells programs apart: what is the same in all of these is the same program.
std::string KeyOf(const policy::Proc& proc) {
  const auto text = [](const std::optional<Duration>& time) {
    return time.has_value() ? StrCat(absl::ToInt64Seconds(*time)) : std::string();
  };
  const policy::ProgramTimeouts& times = proc.timeouts;
  return rt::EncodeFields({proc.name, proc.command, proc.user, proc.group, proc.chroot,
                           text(times.start), text(times.answer), text(times.content),
                           text(times.read)});
}

void TakeTimeouts(const policy::ProgramTimeouts& from, FilterProgramOptions* to) {
  to->ready_timeout = from.start.value_or(to->ready_timeout);
  to->answer_timeout = from.answer.value_or(to->answer_timeout);
  to->content_timeout = from.content.value_or(to->content_timeout);
  to->write_timeout = from.read.value_or(to->write_timeout);
}

// CommandOf gives the command with the folder that its program is in. Blocks.
std::string CommandOf(rt::World* world, const std::string& libexec, const std::string& command) {
  if (command.empty() || command.front() == '/') return command;
  const std::string program = command.substr(0, command.find(' '));
  std::vector<std::string> folders(std::begin(kFilterFolders), std::end(kFilterFolders));
  if (!libexec.empty()) folders.insert(folders.begin(), libexec);
  for (const std::string& folder : folders) {
    const std::string path = StrCat(folder, "/", program);
    if (world->files().Stat(path).ok()) return StrCat(folder, "/", command);
  }
  return command;
}

// CommandLineOf has the shell start `command` in its own place. A filter's command has no formats:
// a % is a %.
StatusOr<policy::ShellCommand> CommandLineOf(std::string_view command) {
  std::string text = "exec ";
  for (const char c : command) text.append(c == '%' ? 2 : 1, c);
  return policy::MakeShellCommand(text, "", policy::FormatContext());
}

// IdentityOf says who runs the program that a server started which is `self`. Blocks.
StatusOr<rt::Credentials> IdentityOf(rt::World& world, const policy::Proc& proc,
                                     const rt::Account& self) {
  rt::Processes& processes = world.processes();
  rt::Account account = self;
  if (!proc.user.empty()) {
    StatusOr<rt::Account> found = processes.FindAccount(proc.user);
    if (!found.ok()) return found.status();
    account = *std::move(found);
  }
  rt::Credentials who{account.uid, account.gid, account.groups};
  if (!proc.group.empty()) {
    const StatusOr<uint32_t> group = processes.FindGroup(proc.group);
    if (!group.ok()) return group.status();
    who.gid = *group;
    who.groups = {*group};
  }
  return who;
}

// SpecOf gives the process that the program is, of a server that is `self`. Blocks.
StatusOr<rt::ProcessSpec> SpecOf(rt::World& world, const policy::Proc& proc,
                                 const std::string& libexec, const rt::Account& self) {
  const std::string command =
      proc.chroot.empty() ? CommandOf(&world, libexec, proc.command) : proc.command;
  const StatusOr<policy::ShellCommand> line = CommandLineOf(command);
  if (!line.ok()) return line.status();
  StatusOr<rt::Credentials> who = IdentityOf(world, proc, self);
  if (!who.ok()) return who.status();
  rt::ProcessSpec spec = deliver::ProgramOfOperator(*line);
  spec.root = proc.chroot;
  spec.run_as = *std::move(who);
  return spec;
}

rt::Task<StatusOr<std::unique_ptr<rt::Companion>>> StartProgram(rt::World* world, policy::Proc proc,
                                                                std::string libexec,
                                                                std::string name_for_helper) {
  rt::Executor& loop = world->main_loop();
  if (rt::Helper* helper = world->helper(); helper != nullptr && NeedsOtherRights(proc))
    co_return helper->Accompany(loop, name_for_helper);
  StatusOr<rt::ProcessSpec> spec = Unavailable("not made yet");
  auto prepare = loop.RunBlocking([&] {
    const rt::Account self = world->processes().Self();
    spec = SpecOf(*world, proc, libexec, self);
    if (!spec.ok()) return;
    if (spec->run_as->uid == self.uid && spec->run_as->gid == self.gid) {
      spec->run_as.reset();
    } else if (self.uid != 0) {
      spec = PermissionDenied(StrCat("the server, which is ", self.name, ", cannot start it as ",
                                     proc.user, proc.group.empty() ? "" : ":", proc.group));
      return;
    }
    if (!proc.chroot.empty() && self.uid != 0)
      spec = PermissionDenied("chroot is for a server that root started");
  });
  co_await prepare;
  if (!spec.ok()) co_return spec.status();
  co_return world->processes().Accompany(loop, *std::move(spec));
}

// NamedProcs are the programs that filters name: another proc is not needed, and not started.
std::set<int> NamedProcs(const policy::Config& config) {
  std::set<int> named;
  for (const policy::Filter& filter : config.filters) {
    if (filter.kind == policy::FilterKind::kProgram) named.insert(filter.proc);
  }
  return named;
}

}  // namespace

bool NeedsOtherRights(const policy::Proc& proc) {
  return !proc.user.empty() || !proc.group.empty() || !proc.chroot.empty();
}

std::string ProgramNameForHelper(const policy::Config& config, const policy::Proc& proc) {
  return rt::EncodeFields({config.libexec, proc.command, proc.user, proc.group, proc.chroot});
}

std::vector<std::pair<std::string, rt::ProcessSpec>> ProgramsForHelper(rt::World& world,
                                                                       const policy::Config& config,
                                                                       const rt::Account& account) {
  std::vector<std::pair<std::string, rt::ProcessSpec>> programs;
  for (const int index : NamedProcs(config)) {
    const policy::Proc& proc = config.procs[static_cast<size_t>(index)];
    if (!NeedsOtherRights(proc)) continue;
    StatusOr<rt::ProcessSpec> spec = SpecOf(world, proc, config.libexec, account);
    if (spec.ok()) programs.emplace_back(ProgramNameForHelper(config, proc), *std::move(spec));
  }
  return programs;
}

std::optional<std::string> WhyNoProgram(rt::World& world, const policy::Config& config,
                                        const policy::Proc& proc) {
  const StatusOr<rt::Credentials> who = IdentityOf(world, proc, world.processes().Self());
  if (!who.ok()) return std::string(Message(who.status()));
  const std::string command =
      proc.chroot.empty() ? CommandOf(&world, config.libexec, proc.command) : proc.command;
  const std::string program = command.substr(0, command.find_first_of(" \t"));
  // Anything but a plain path is for the shell to read.
  if (program.empty() || program.front() != '/' ||
      program.find_first_of("\"'\\$`*?[(<>|&;") != std::string::npos)
    return std::nullopt;
  const StatusOr<rt::FileInfo> info = world.files().Stat(StrCat(proc.chroot, program));
  // Another user may look where we may not.
  if (!info.ok() && info.status().code() == StatusCode::kPermissionDenied) return std::nullopt;
  if (!info.ok()) return StrCat(proc.chroot, program, ": ", Message(info.status()));
  constexpr uint32_t kMayRun = 0111;
  if (info->kind == rt::FileInfo::Kind::kDirectory || (info->mode & kMayRun) == 0)
    return StrCat(proc.chroot, program, " is nothing that can be run");
  return std::nullopt;
}

std::string FilterProgramName(const policy::Proc& proc) {
  constexpr std::string_view kOfFilter = "<filter ";
  if (proc.name.rfind(kOfFilter, 0) != 0) return proc.name;
  return proc.name.substr(kOfFilter.size(), proc.name.size() - kOfFilter.size() - 1);
}

FilterPrograms::FilterPrograms(rt::World* world, LogSink* log) : world_(world), log_(log) {}
FilterPrograms::~FilterPrograms() = default;

void FilterPrograms::Adopt(const Runtime& runtime) {
  const policy::Config& config = runtime.config();
  std::map<std::string, std::shared_ptr<FilterProgram>> wanted, left;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    left = programs_;
  }
  for (const int index : NamedProcs(config)) {
    const policy::Proc& proc = config.procs[static_cast<size_t>(index)];
    const std::string key = KeyOf(proc);
    const auto running = left.find(key);
    if (running != left.end()) {
      wanted.insert(left.extract(running));
      continue;
    }
    FilterProgramOptions options;
    options.name = FilterProgramName(proc);
    TakeTimeouts(proc.timeouts, &options);
    options.config = {
        {"smtpd-version", kVersion},
        {"protocol", std::string(filter::VersionText(options.version))},
        {"smtp-session-timeout", "300"},
        {"subsystem", "smtp-in"},
        {"admd", config.admd.empty() ? runtime.server_name() : config.admd},
    };
    auto program = std::make_shared<FilterProgram>(
        &world_->main_loop(), &world_->clock(), log_, std::move(options),
        [world = world_, proc, libexec = config.libexec,
         name_for_helper = ProgramNameForHelper(config, proc)] {
          return StartProgram(world, proc, libexec, name_for_helper);
        });
    // Stop finds it from before it runs, whatever there is no memory for behind it.
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      programs_.emplace(key, program);
    }
    try {
      wanted.emplace(key, program);
      tasks_.Spawn(program->Run());
    } catch (const std::bad_alloc&) {
      const std::lock_guard<std::mutex> lock(mutex_);
      programs_.erase(key);
      throw;
    }
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    programs_ = std::move(wanted);
  }
  for (const auto& [key, program] : left) program->Stop();
}

rt::Task<void> FilterPrograms::Ready(Instant deadline) {
  std::map<std::string, std::shared_ptr<FilterProgram>> programs;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    programs = programs_;
  }
  for (const auto& [key, program] : programs) {
    const bool ready = co_await program->Ready(deadline);
    if (ready) continue;
    log_->Write(LogRecord{.level = LogLevel::kError,
                          .subsystem = "filter",
                          .session = "",
                          .event = "not-ready",
                          .fields = {{"filter", program->options().name}}});
  }
}

rt::Task<void> FilterPrograms::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [key, program] : programs_) program->Stop();
  }
  co_await tasks_.Join();
}

std::shared_ptr<FilterProgram> FilterPrograms::Find(const policy::Proc& proc) const {
  const std::string key = KeyOf(proc);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = programs_.find(key);
  return it == programs_.end() ? nullptr : it->second;
}

}  // namespace postern::server
