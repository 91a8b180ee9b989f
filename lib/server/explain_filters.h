// What the filters of a listener say to the session that `postern explain` makes up.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/core/policy/model.h"
#include "lib/rt/world.h"
#include "lib/server/filter_programs.h"
#include "lib/server/hooks.h"
#include "lib/server/runtime.h"
#include "lib/service/smtp/backend.h"
#include "lib/service/smtp/session_filter.h"

namespace postern::server {

// FilterStep is one filter's word in one phase.
struct FilterStep {
  const policy::Filter* filter = nullptr;  // of the runtime
  std::string phase;                       // "mail-from"; "content" for the message itself
  std::string about;                       // the recipient, in rcpt-to; else ""
  // decision is "" where a built-in filter's condition does not hold; "proceed", "junk", "bypass",
  // "report", "rewrite", "reject", "disconnect", "discard", "change" elsewhere.
  std::string decision;
  std::string text;  // the reply, the new argument, what is reported or changed
};

// ExplainFilters asks the filters of one listener: those of the language by the server's own code,
// and where `ask_others` is set programs, which are started for it, and milters as well. It keeps
// every word. Used on the main loop.
class ExplainFilters {
 public:
  // All arguments outlive it.
  ExplainFilters(rt::World* world, std::shared_ptr<const Runtime> runtime, int listener,
                 bool ask_others, LogSink* log);
  ~ExplainFilters();

  // Members lists what the filter of `listener` is made of, in the order in which it is asked.
  static std::vector<const policy::Filter*> Members(const policy::Config& config, int listener);
  // IsBuiltin tells whether `filter` is asked without `ask_others`.
  static bool IsBuiltin(const policy::Filter& filter) {
    return filter.kind == policy::FilterKind::kBuiltin;
  }

  // Begin makes the filter of a session with `facts`, which change and outlive the filters.
  rt::Task<void> Begin(const service::SmtpSessionFacts* facts);
  // Ask gives the verdict of all of them in a phase.
  rt::Task<service::FilterVerdict> Ask(service::FilterQuestion question);
  // Tell tells them of what has happened.
  void Tell(service::FilterReport report);
  // PassMessage takes `text`, lines in CRLF, through those that want content.
  rt::Task<service::FilterVerdict> PassMessage(service::FilterQuestion about, std::string text);
  // End ends the session, and what was started for it. To be awaited once, after Begin.
  rt::Task<void> End();

  const std::vector<FilterStep>& steps() const { return steps_; }

 private:
  class Recorder;

  rt::World* const world_;
  const std::shared_ptr<const Runtime> runtime_;
  const int listener_;
  const bool ask_others_;
  LogSink* const log_;
  const Hooks hooks_;
  std::unique_ptr<FilterPrograms> programs_;
  std::unique_ptr<service::SessionFilter> chain_;
  const service::SmtpSessionFacts* facts_ = nullptr;
  std::vector<FilterStep> steps_;
};

}  // namespace postern::server
