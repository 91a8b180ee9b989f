// FilterPrograms: the filter programs of the configuration (`filter NAME proc-exec "…"`, `proc`),
// kept running.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/server/runtime.h"
#include "lib/service/filter/filter_program.h"

namespace postern::server {

// kFilterFolders are where a program is looked for that is not named by an absolute path.
inline constexpr const char* kFilterFolders[] = {"/usr/local/libexec/smtpd", "/usr/libexec/smtpd",
                                                 "/usr/libexec/opensmtpd"};

// FilterPrograms lives on the main loop; Find may be called from any thread.
class FilterPrograms {
 public:
  // `world` and `log` outlive it.
  FilterPrograms(rt::World* world, LogSink* log);
  ~FilterPrograms();

  // Adopt starts the programs of `runtime` that do not run, and stops those that it does not name
  // any more: one that is named as before goes on.
  void Adopt(const Runtime& runtime);
  // Ready waits until all have registered or ended, until `deadline` at most; those that have not
  // registered are logged, and their listeners refuse for now.
  rt::Task<void> Ready(Instant deadline);
  // Stop ends all of them.
  rt::Task<void> Stop();

  // Find gives the program of `proc`; null where it is not one of those in force.
  std::shared_ptr<service::FilterProgram> Find(const policy::Proc& proc) const;

 private:
  rt::World* world_;
  LogSink* log_;
  mutable std::mutex mutex_;  // guards programs_
  std::map<std::string, std::shared_ptr<service::FilterProgram>> programs_;
  rt::TaskGroup tasks_;
};

// NeedsOtherRights tells whether a program is to run as somebody else than the server, or in a part
// of the file system: that takes root, and its helper where root's rights are gone.
bool NeedsOtherRights(const policy::Proc& proc);

// ProgramNameForHelper tells such programs apart (rt::Helper::Accompany).
std::string ProgramNameForHelper(const policy::Config& config, const policy::Proc& proc);

// ProgramsForHelper are those that filters of `config` name, with their names, for a server that
// becomes `account`. One whose user or group is not there is left out, and refused at its start.
// Blocks.
std::vector<std::pair<std::string, rt::ProcessSpec>> ProgramsForHelper(rt::World& world,
                                                                       const policy::Config& config,
                                                                       const rt::Account& account);

// WhyNoProgram says why the program cannot be started, as far as the machine tells: it is not
// there, or nothing that can be run, or its user or group is not there. nullopt: it may start. What
// a shell finds elsewhere (a word of its own, a variable) it takes for there. Blocks.
std::optional<std::string> WhyNoProgram(rt::World& world, const policy::Config& config,
                                        const policy::Proc& proc);

// FilterProgramName is what a proc is called in logs: that of its filter where it has no own.
std::string FilterProgramName(const policy::Proc& proc);

}  // namespace postern::server
