#include "lib/server/control_gate.h"

#include "lib/core/base/json.h"
#include "lib/core/base/strings.h"

namespace postern::server {

using control::Command;
using control::Verb;

namespace {

// What upstream can trace. Ours are traced by the name that their log lines have.
constexpr std::string_view kSubsystems[] = {"imsg",   "io",        "smtp",   "filters", "mta",
                                            "bounce", "scheduler", "lookup", "stat",    "rules",
                                            "mproc",  "expand",    "tables", "queue",   "all",
                                            "mda",    "imap",      "server", "control"};

bool IsSubsystem(std::string_view word) {
  for (const std::string_view each : kSubsystems) {
    if (each == word) return true;
  }
  return false;
}

// MayAsk tells whether `uid` may ask for `verb`; nobody who is not known may.
bool MayAsk(std::optional<uint32_t> uid, uint32_t own_uid, Verb verb) {
  return control::IsOpen(verb) || (uid.has_value() && (*uid == 0 || *uid == own_uid));
}

}  // namespace

ControlGate::ControlGate(ControlParts parts)
    : parts_(std::move(parts)), started_(parts_.world->clock().Now()) {}

rt::Task<int> ControlGate::Plain(Call* call, std::string text, std::string json) {
  if (call->request().json) text = std::move(json);
  (void)co_await call->Output(std::move(text));
  co_return 0;
}

// Done says how a verb went that has nothing else to say.
rt::Task<int> ControlGate::Done(Call* call, Status status) {
  if (call->request().json) {
    JsonWriter json;
    json.BeginObject().Key("ok").Bool(status.ok());
    if (!status.ok()) json.Key("error").String(Message(status));
    json.EndObject();
    std::string text = json.Take() + "\n";
    (void)co_await call->Output(std::move(text));
  } else if (status.ok()) {
    std::string text = "command succeeded\n";
    (void)co_await call->Output(std::move(text));
  } else {
    std::string text = StrCat("command failed: ", Message(status), "\n");
    (void)co_await call->Error(std::move(text));
  }
  co_return status.ok() ? 0 : 1;
}

rt::Task<int> ControlGate::Answer(Call* call) {
  std::string help;
  std::optional<Command> command = control::MatchVerb(call->request().words, &help);
  if (!command.has_value()) {
    (void)co_await call->Error(std::move(help));
    co_return 1;
  }
  const std::string name(control::Name(command->verb));
  const bool allowed = MayAsk(call->uid(), parts_.world->processes().Self().uid, command->verb);
  std::vector<LogField> fields;
  fields.push_back({"command", name});
  if (!command->operands.empty() && command->verb != Verb::kSubmit)
    fields.push_back({"operand", command->operands[0]});
  fields.push_back({"uid", call->uid().has_value() ? StrCat(*call->uid()) : std::string("?")});
  const bool looks_only = name.starts_with("show") || name == "monitor" || name == "metrics" ||
                          command->verb == Verb::kSubmit;
  parts_.log->Write(LogRecord{.level = !allowed     ? LogLevel::kWarning
                                       : looks_only ? LogLevel::kDebug
                                                    : LogLevel::kInfo,
                              .subsystem = "control",
                              .session = "",
                              .event = allowed ? "command" : "refused",
                              .fields = std::move(fields)});
  if (!allowed) {
    std::string text = StrCat("`", name, "` needs root, or the server's own account\n");
    (void)co_await call->Error(std::move(text));
    co_return 1;
  }
  const int exit_status = co_await Carry(call, *std::move(command));
  co_return exit_status;
}

rt::Task<int> ControlGate::Carry(Call* call, Command command) {
  const std::string first = command.operands.empty() ? std::string() : command.operands[0];
  Status status = OkStatus();
  switch (command.verb) {
    case Verb::kShowQueue: {
      const int done = co_await ShowQueue(call, command.operands);
      co_return done;
    }
    case Verb::kShowEnvelope: {
      const int done = co_await ShowEnvelope(call, first);
      co_return done;
    }
    case Verb::kShowMessage: {
      const int done = co_await ShowMessage(call, first);
      co_return done;
    }
    case Verb::kShowParked: {
      const int done = co_await ShowParked(call);
      co_return done;
    }
    case Verb::kFree:
    case Verb::kUncorrupt: {
      const int done = co_await FreeParked(call, first, command.verb == Verb::kUncorrupt);
      co_return done;
    }
    case Verb::kDiscover:
    case Verb::kPauseEnvelope:
    case Verb::kResumeEnvelope:
    case Verb::kRemove:
    case Verb::kSchedule: {
      const int done = co_await ForEach(call, command.verb, first);
      co_return done;
    }
    case Verb::kShowStats: {
      const int done = co_await ShowStats(call);
      co_return done;
    }
    case Verb::kMetrics: {
      const int done = co_await ShowStats(call);
      co_return done;
    }
    case Verb::kShowStatus: {
      const int done = co_await ShowStatus(call);
      co_return done;
    }
    case Verb::kShowHosts: {
      const int done = co_await ShowHosts(call);
      co_return done;
    }
    case Verb::kShowHostStats: {
      const int done = co_await ShowHostStats(call);
      co_return done;
    }
    case Verb::kShowRoutes: {
      const int done = co_await ShowRoutes(call);
      co_return done;
    }
    case Verb::kShowMtaPaused: {
      const int done = co_await ShowMtaPaused(call);
      co_return done;
    }
    case Verb::kShowRelays: {
      const int done = co_await ShowRelays(call);
      co_return done;
    }
    case Verb::kMonitor: {
      const int done = co_await Monitor(call);
      co_return done;
    }
    case Verb::kTrace:
      if (!IsSubsystem(first)) {
        const int done = co_await Trace(call, first);
        co_return done;
      }
      parts_.log->SetTrace(first, true);
      break;
    case Verb::kUntrace: parts_.log->SetTrace(first, false); break;
    case Verb::kUpdateTable: {
      const int done = co_await UpdateTable(call, first);
      co_return done;
    }
    case Verb::kReload: {
      const int done = co_await Reload(call);
      co_return done;
    }
    case Verb::kSubmit: {
      const int done = co_await Submit(call, command.operands);
      co_return done;
    }
    case Verb::kLogBrief: parts_.log->SetLevel(LogLevel::kInfo); break;
    case Verb::kLogVerbose: parts_.log->SetLevel(LogLevel::kDebug); break;
    case Verb::kPauseMda:
    case Verb::kPauseMta:
    case Verb::kPauseMtaFor:
    case Verb::kPauseSmtp:
    case Verb::kResumeMda:
    case Verb::kResumeMta:
    case Verb::kResumeMtaFor:
    case Verb::kResumeSmtp: status = Pauses(command); break;
    case Verb::kResumeRoute: {
      bool found = false;
      const uint64_t id = ParseUint(first).value_or(0);
      for (relay::RelayDeliverer* const relay : parts_.relays)
        found = found || relay->ResumeRoute(id);
      if (!found) status = NotFound("no such route: `show routes` lists them");
      break;
    }
    case Verb::kProfile:
    case Verb::kUnprofile:
      status = Unimplemented("there are no profiles here: `metrics` and `show stats` have numbers");
      break;
    case Verb::kEncrypt:
    case Verb::kSpfWalk: status = Unimplemented("the client does that itself"); break;
  }
  const int done = co_await Done(call, status);
  co_return done;
}

}  // namespace postern::server
