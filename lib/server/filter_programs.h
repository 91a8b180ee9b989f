// FilterPrograms: the filter programs of the configuration (`filter NAME proc-exec "…"`, `proc`),
// kept running.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

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
  // Ready waits until all have registered, until `deadline` at most; those that have not are
  // logged, and their listeners refuse for now.
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

// FilterProgramName is what a proc is called in logs: that of its filter where it has no own.
std::string FilterProgramName(const policy::Proc& proc);

}  // namespace postern::server
