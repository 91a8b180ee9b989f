#include "postern/server.h"
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <new>

#include "lib/capi/config_capi.h"
#include "lib/capi/error_capi.h"
#include "lib/capi/filter_capi.h"
#include "lib/capi/message_capi.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/rt/asio/helped_world.h"
#include "lib/rt/asio/helper_process.h"
#include "lib/rt/asio/posix_log_output.h"
#include "lib/server/filter_programs.h"
#include "lib/server/helper_work.h"
#include "lib/server/log_writer.h"
#include "lib/server/privileges.h"
#include "lib/server/runtime.h"
#include "lib/server/server.h"
#include "lib/server/spool_owner.h"

namespace {

using postern::Duration;
using postern::OkStatus;
using postern::Status;
using postern::StatusCode;
using postern::StrCat;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::OnFree;
using postern::capi::TakeStruct;
namespace rt = postern::rt;
namespace server = postern::server;

constexpr int64_t kDefaultGraceMs = 5000;
// More loops than a machine has processors are of no use.
constexpr int kMaxWorkers = 256;
constexpr size_t kMessageIdSize = 9;  // with the NUL
// So many mistakes (and so many warnings) are told one by one: a file that was made wrongly can
// have one in each line.
constexpr size_t kMaxToldMistakes = 100;

class CallbackLogSink final : public postern::LogSink {
 public:
  explicit CallbackLogSink(const postern_log_callbacks& callbacks) : callbacks_(callbacks) {}
  void Write(const postern::LogRecord& record) override {
    if (callbacks_.on_log == nullptr) return;
    const std::string line = postern::FormatLogRecord(record);
    callbacks_.on_log(static_cast<int32_t>(record.level), line.c_str(), callbacks_.user_data);
  }

 private:
  postern_log_callbacks callbacks_;
};

std::string AllErrors(const postern::policy::Diagnostics& diagnostics) {
  std::string text;
  size_t count = 0;
  for (const postern::policy::Diagnostic& each : diagnostics) {
    if (each.severity != postern::policy::Severity::kError || ++count > kMaxToldMistakes) continue;
    if (!text.empty()) text += '\n';
    text += each.ToString();
  }
  if (count > kMaxToldMistakes)
    postern::StrAppend(text, "\nand ", count - kMaxToldMistakes, " errors more");
  return text;
}

// Stop brings postern_server_stop to the main loop; as a Timer it tries again when memory was
// short.
struct Stop : rt::Job, rt::Timer {
  postern_server* handle = nullptr;
  Duration grace;
  std::atomic<bool> asked{false};
};

constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);

}  // namespace

struct postern_server {
  // Declared in the order of dependence: what is below uses what is above and dies first.
  OnFree free_log_data;
  OnFree free_message_data;
  OnFree free_filter_data;
  postern_filter_callbacks filter{};
  OnFree free_login_data;
  postern_message_callbacks message{};
  postern_login_callbacks login{};
  Stop stop;
  std::unique_ptr<rt::AsioWorld> world;
  std::unique_ptr<postern::LogSink> log;
  server::LogWriter* log_writer = nullptr;  // `log`, where it is one
  std::string log_path;                     // of the file that `log` writes; empty: none
  std::unique_ptr<rt::HelpedWorld> helped;  // null: the process stays who it is
  std::unique_ptr<server::Server> server;
  rt::TaskGroup tasks;
  std::vector<std::string> endpoints;
  std::atomic<postern_status> last_callback_status{POSTERN_OK};
  std::atomic<int> callbacks_running{0};      // of on_message, on_step and on_event
  std::unique_ptr<rt::FdWatch> helper_watch;  // on the main loop, from the start to the end
  bool helper_lost = false;
  bool started = false;
  bool stopping = false;
  std::atomic<bool> stopped{false};
};

namespace {

server::IncomingVerdict CallOnMessage(postern_server* handle, const server::IncomingView& view) {
  const postern_message_callbacks& callbacks = handle->message;
  const postern_message message = postern::capi::MessageOf(view);
  postern_message_verdict verdict{};
  verdict.struct_size = sizeof verdict;
  ++handle->callbacks_running;
  const postern_status returned = callbacks.on_message(&message, &verdict, callbacks.user_data);
  --handle->callbacks_running;
  handle->last_callback_status = returned;
  return postern::capi::VerdictOf(returned, verdict);
}

postern::service::FilterVerdict CallOnStep(postern_server* handle,
                                           const postern::service::FilterQuestion& question) {
  const postern_filter_callbacks& callbacks = handle->filter;
  const postern_step step = postern::capi::StepOf(question);
  postern_step_verdict verdict{};
  verdict.struct_size = sizeof verdict;
  ++handle->callbacks_running;
  const postern_status returned = callbacks.on_step(&step, &verdict, callbacks.user_data);
  --handle->callbacks_running;
  return postern::capi::VerdictOf(returned, verdict);
}

void CallOnEvent(postern_server* handle, const postern::service::FilterReport& report) {
  const postern_filter_callbacks& callbacks = handle->filter;
  const postern_step step = postern::capi::StepOf(report);
  const std::string event(postern::service::SessionEventName(report.event));
  ++handle->callbacks_running;
  callbacks.on_event(&step, event.c_str(), callbacks.user_data);
  --handle->callbacks_running;
}

server::TokenVerdict CallOnToken(const postern_login_callbacks& callbacks,
                                 const server::TokenView& view) {
  using Kind = server::TokenVerdict::Kind;
  server::TokenVerdict verdict;
  // A name with a NUL would be another name for the callback; a token has none.
  if (view.user.find('\0') != std::string_view::npos) return verdict;
  const std::string mechanism(view.mechanism);
  const std::string wanted(view.user);
  const std::string token(view.token);
  const std::string address = view.remote.is_unix() ? "" : view.remote.address.ToString();
  const postern_token_login login = {sizeof(postern_token_login), mechanism.c_str(), wanted.c_str(),
                                     token.c_str(), address.c_str()};
  char user[POSTERN_TOKEN_USER_SIZE] = "";
  const postern_status returned = callbacks.on_token(&login, user, callbacks.user_data);
  user[sizeof user - 1] = '\0';
  verdict.kind = returned == POSTERN_OK         ? Kind::kAccepted
                 : returned == POSTERN_ERR_AUTH ? Kind::kRefused
                                                : Kind::kUnavailable;
  verdict.user = user;
  return verdict;
}

// InCallback tells whether the caller is one of this server's callbacks: it then runs on a loop,
// which cannot go on before the callback has returned.
bool InCallback(postern_server* server) {
  // A submission calls back outside of the loop.
  if (server->callbacks_running != 0) return true;
  for (size_t i = 0; i < server->world->worker_count(); ++i) {
    if (server->world->worker(i).IsCurrent()) return true;
  }
  return false;
}

postern_status FailInCallback(postern_error** out_error) {
  return Fail(out_error, POSTERN_ERR_BUSY, "in-callback", "called from a callback of the server");
}

// PollUntil runs the loops on this thread until `done`: before and after postern_server_run.
void PollUntil(postern_server* server, const bool& done) {
  while (!done) server->world->Poll(absl::Milliseconds(100));
}

rt::Task<void> StartServer(postern_server* handle, Status* result, bool* done) {
  *result = co_await handle->server->Start();
  *done = true;
}

rt::Task<void> StopServer(postern_server* handle, Duration grace) {
  rt::Executor& loop = handle->world->main_loop();
  for (bool ended = false; !ended;) {
    try {
      co_await handle->server->Stop(grace);
      ended = true;
    } catch (const std::bad_alloc&) {
      // It goes on where it was.
    }
    rt::Event never(&loop);
    const postern::Instant again = loop.Now() + kPauseWithoutMemory;
    if (!ended) (void)co_await never.Wait(again);
  }
  handle->stopped = true;
  handle->world->Stop();
}

rt::Task<void> SubmitTo(postern_server* handle, server::Submission submission,
                        server::SubmissionResult* result, bool* done) {
  *result = co_await handle->server->Submit(std::move(submission));
  *done = true;
}

rt::Task<void> AskMetrics(postern_server* handle, std::string* text, bool* done) {
  *text = co_await handle->server->Metrics();
  *done = true;
}

void BeginStop(postern_server* handle, Duration grace) {
  if (handle->stopping) return;
  rt::Task<void> stop = StopServer(handle, grace);
  handle->stopping = true;
  try {
    handle->tasks.Spawn(std::move(stop));
  } catch (...) {
    handle->stopping = false;
    throw;
  }
}

void TryToStop(Stop* stop) noexcept {
  try {
    BeginStop(stop->handle, stop->grace);
  } catch (const std::bad_alloc&) {
    rt::Executor& loop = stop->handle->world->main_loop();
    loop.Arm(stop, loop.Now() + kPauseWithoutMemory);
  }
}

// LogWarnings writes the warnings to the log. Errors go to the caller, in the postern_error, and
// are said once.
void LogWarnings(postern_server* handle, const postern::policy::Diagnostics& diagnostics) {
  const auto write = [handle](std::string text) {
    handle->log->Write(postern::LogRecord{.level = postern::LogLevel::kWarning,
                                          .subsystem = "config",
                                          .session = "",
                                          .event = "warning",
                                          .fields = {{"text", std::move(text)}}});
  };
  size_t count = 0;
  for (const postern::policy::Diagnostic& each : diagnostics) {
    if (each.severity != postern::policy::Severity::kWarning || ++count > kMaxToldMistakes)
      continue;
    write(each.ToString());
  }
  if (count > kMaxToldMistakes) write(StrCat("and ", count - kMaxToldMistakes, " warnings more"));
}

constexpr char kHelperLost[] =
    "the helper process has ended, which delivers to users: the server stops and must be started "
    "again";

// WatchHelper stops the server when its helper ends (killed for want of memory, say): without one
// no mail can be delivered, and without root's privileges there can be no other. Whoever started
// the server hears of it, and can start it anew.
void WatchHelper(postern_server* handle) {
  const rt::Helper* helper = handle->helped != nullptr ? handle->helped->helper() : nullptr;
  if (helper == nullptr || helper->end_descriptor() < 0) return;
  handle->helper_watch = handle->world->main_loop().WatchFd(
      helper->end_descriptor(), {.read = true}, [handle](rt::FdInterest) {
        handle->helper_lost = true;
        handle->log->Write(postern::LogRecord{.level = postern::LogLevel::kError,
                                              .subsystem = "server",
                                              .session = "",
                                              .event = StrCat("ALARM: ", kHelperLost),
                                              .fields = {}});
        BeginStop(handle, absl::Milliseconds(kDefaultGraceMs));
        handle->helper_watch.reset();  // last: what is used here goes with it
      });
}

// Ended is what the end of a server means to its host.
postern_status Ended(const postern_server* handle, postern_status status,
                     postern_error** out_error) {
  return handle->helper_lost ? Fail(out_error, POSTERN_ERR_CLOSED, "helper", kHelperLost) : status;
}

using UserPairs = std::vector<std::pair<uint32_t, uint32_t>>;
using NamedPrograms = std::vector<std::pair<std::string, rt::ProcessSpec>>;

// PrepareToBecome arranges that the server becomes `account` when it starts.
void PrepareToBecome(postern_server* handle, const rt::Account& account, bool passwords,
                     UserPairs pairs, NamedPrograms programs, server::ServerOptions* options) {
  options->become = [handle, account, passwords, pairs = std::move(pairs),
                     programs = std::move(programs)](const std::string& spool) -> Status {
    if (!spool.empty()) {
      POSTERN_RETURN_IF_ERROR(
          server::GiveSpool(handle->world->files(), spool, account.uid, account.gid));
    }
    POSTERN_RETURN_IF_ERROR(handle->helped->Become(account, passwords, pairs, programs));
    handle->log->Write(postern::LogRecord{.level = postern::LogLevel::kInfo,
                                          .subsystem = "server",
                                          .session = "",
                                          .event = "privileges given up",
                                          .fields = {{"user", account.name}}});
    return OkStatus();
  };
}

// AskQueueKey lets the host bring the key that the configuration leaves to it.
postern_status AskQueueKey(const postern_server_options& options,
                           const postern::policy::Config& config, std::string* key,
                           postern_error** out_error) {
  const std::string where = config.queue.encryption_location.ToString();
  if (options.queue_key == nullptr) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config",
                where + ": queue encryption: the key is not in the file, and nobody can be asked");
  }
  char text[256] = {};
  const bool from_stdin = config.queue.encryption == postern::policy::QueueEncryption::kStdin;
  const postern_status status =
      options.queue_key(from_stdin ? 1 : 0, text, sizeof text, options.queue_key_data);
  text[sizeof text - 1] = '\0';
  *key = text;
  if (status != POSTERN_OK)
    return Fail(out_error, status, "config", where + ": queue encryption: no key was given");
  if (key->size() == postern::policy::kQueueKeyOctets) return POSTERN_OK;
  return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config",
              where + ": queue encryption: the key that was given has " +
                  std::to_string(key->size()) + " characters instead of 32");
}

// OpenLog makes the log that the library writes itself.
postern_status OpenLog(postern_server* handle, const postern_log_output* given,
                       postern_error** out_error) {
  postern_log_output output;
  if (!TakeStruct(&output, postern_log_output POSTERN_LOG_OUTPUT_INIT, given)) {
    return Fail(out_error, POSTERN_ERR_VERSION, "version",
                "log_output sets a field that this version does not know");
  }
  if (output.target == nullptr)
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "log_output has no target");
  const postern::StatusOr<server::LogTarget> target = server::ParseLogTarget(output.target);
  if (!target.ok()) return FailWith(out_error, target.status());
  const bool file = target->form == server::LogTarget::Form::kPlain;
  if (file) handle->log_path = target->path;
  const rt::LogFileOpener by_helper = [handle](const std::string& path) -> postern::StatusOr<int> {
    if (handle->helped == nullptr) return postern::Unavailable("there is no helper");
    return handle->helped->OpenLog(path);
  };
  postern::StatusOr<std::unique_ptr<rt::LogOutput>> to =
      file ? rt::OpenLogFile(target->path, by_helper) : rt::OpenLogSocket(target->path);
  if (!to.ok()) return FailWith(out_error, to.status());
  auto writer = std::make_unique<server::LogWriter>(
      handle->world.get(), target->form, output.json != 0,
      output.tag == nullptr ? "smtpd" : output.tag, *std::move(to));
  handle->log_writer = writer.get();
  handle->log = std::move(writer);
  return POSTERN_OK;
}

postern_status NewServer(postern_server** out, const postern_server_options* given,
                         postern_error** out_error) {
  if (out == nullptr)
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "out is NULL");
  *out = nullptr;
  auto handle = std::make_unique<postern_server>();
  postern_server_options defaults = POSTERN_SERVER_OPTIONS_INIT;
  postern_server_options options;
  const bool known = TakeStruct(&options, defaults, given);
  postern_log_callbacks log = POSTERN_LOG_CALLBACKS_INIT;
  postern_message_callbacks message = POSTERN_MESSAGE_CALLBACKS_INIT;
  const bool log_known =
      TakeStruct(&log, postern_log_callbacks POSTERN_LOG_CALLBACKS_INIT, options.log);
  const bool message_known = TakeStruct(
      &message, postern_message_callbacks POSTERN_MESSAGE_CALLBACKS_INIT, options.message);
  postern_filter_callbacks filter = POSTERN_FILTER_CALLBACKS_INIT;
  const bool filter_known =
      TakeStruct(&filter, postern_filter_callbacks POSTERN_FILTER_CALLBACKS_INIT, options.filter);
  postern_login_callbacks login = POSTERN_LOGIN_CALLBACKS_INIT;
  const bool login_known =
      TakeStruct(&login, postern_login_callbacks POSTERN_LOGIN_CALLBACKS_INIT, options.login);
  // From here on the user data is ours to free, whatever happens.
  handle->free_log_data = OnFree(log.destroy_user_data, log.user_data);
  handle->free_message_data = OnFree(message.destroy_user_data, message.user_data);
  handle->free_filter_data = OnFree(filter.destroy_user_data, filter.user_data);
  handle->free_login_data = OnFree(login.destroy_user_data, login.user_data);
  if (!known || !log_known || !message_known || !filter_known || !login_known) {
    return Fail(out_error, POSTERN_ERR_VERSION, "version",
                "an option struct has a size of 0, or sets a field that this version of the "
                "library does not know");
  }
  if ((options.config_text == nullptr) == (options.config_path == nullptr)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                "give exactly one of config_text and config_path");
  }

  if (options.workers > kMaxWorkers || (options.workers > 1 && options.no_threads != 0)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                options.workers > kMaxWorkers ? StrCat("workers: at most ", kMaxWorkers)
                                              : "workers: a server without threads has one");
  }

  server::ServerOptions server_options;
  if (options.config_text != nullptr) {
    server_options.config_text = std::string(options.config_text, options.config_text_len);
  } else {
    server_options.config_path = options.config_path;
  }
  if (options.spool_path != nullptr) server_options.spool_path = options.spool_path;
  const postern_status macros =
      postern::capi::AddMacros(options.macros, options.macro_count, &server_options, out_error);
  if (macros != POSTERN_OK) return macros;
  server_options.in_memory = options.in_memory != 0;
  server_options.control = options.no_control == 0;
  if (options.log_level > POSTERN_LOG_DEBUG && options.log_level <= POSTERN_LOG_ERROR)
    server_options.log_level = static_cast<postern::LogLevel>(options.log_level);
  handle->message = message;
  if (message.on_message != nullptr) {
    server_options.hooks.on_message = [raw = handle.get()](const server::IncomingView& view) {
      return CallOnMessage(raw, view);
    };
  }
  handle->filter = filter;
  postern::service::FilterFunctions& functions = server_options.hooks.step;
  if (filter.on_step != nullptr) {
    if (filter.phases != 0) functions.phases = filter.phases & postern::service::kAllPhases;
    functions.on_step = [raw = handle.get()](const postern::service::FilterQuestion& question) {
      return CallOnStep(raw, question);
    };
  }
  if (filter.on_event != nullptr) {
    functions.events = postern::service::kAllEvents;
    functions.on_event = [raw = handle.get()](const postern::service::FilterReport& report) {
      CallOnEvent(raw, report);
    };
  }
  handle->login = login;
  if (login.on_token != nullptr) {
    server_options.hooks.on_token = [raw = handle.get()](const server::TokenView& view) {
      return CallOnToken(raw->login, view);
    };
  }
  rt::AsioWorldOptions world_options;
  world_options.no_threads = options.no_threads != 0;
  if (options.pool_threads != 0) world_options.pool_threads = options.pool_threads;
  if (options.workers != 0) world_options.workers = options.workers;
  handle->world = std::make_unique<rt::AsioWorld>(world_options);
  handle->log = std::make_unique<CallbackLogSink>(log);
  if (options.log_output != nullptr) {
    const postern_status opened = OpenLog(handle.get(), options.log_output, out_error);
    if (opened != POSTERN_OK) return opened;
  }

  rt::Account account;
  if (options.run_as != nullptr && handle->world->processes().Self().uid == 0) {
    const postern::StatusOr<rt::Account> found =
        handle->world->processes().FindAccount(options.run_as);
    if (!found.ok()) return FailWith(out_error, found.status());
    account = *found;
    if (account.uid != 0) server_options.account = account;
  }
  if (account.uid != 0) {
    postern::StatusOr<std::unique_ptr<rt::Helper>> helper =
        rt::StartHelper(server::HelperWork(&handle->world->files(), &handle->world->processes()));
    if (!helper.ok()) return FailWith(out_error, helper.status());
    handle->helped = std::make_unique<rt::HelpedWorld>(handle->world.get(), *std::move(helper));
    if (!handle->log_path.empty()) {
      const Status allowed = handle->helped->AllowLog(handle->log_path);
      if (!allowed.ok()) return FailWith(out_error, allowed);
    }
  }
  rt::World& world =
      handle->helped != nullptr ? static_cast<rt::World&>(*handle->helped) : *handle->world;

  if (options.config_path != nullptr) {
    const postern::StatusOr<rt::FileInfo> present =
        handle->world->files().Stat(options.config_path);
    if (!present.ok() && present.status().code() == StatusCode::kNotFound) {
      const postern::policy::SourceLocation file{options.config_path, 0, 0};
      return FailWith(
          out_error,
          postern::NotFound(
              postern::policy::MakeError(file, "cannot be read: No such file").ToString()));
    }
  }
  server::LoadedConfig config = server::LoadConfig(world, server_options, handle->log.get());
  if (config.runtime == nullptr) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config", AllErrors(config.diagnostics));
  }
  LogWarnings(handle.get(), config.diagnostics);
  const postern::policy::Config& meaning = config.runtime->config();
  if (meaning.queue.encryption == postern::policy::QueueEncryption::kPrompt ||
      meaning.queue.encryption == postern::policy::QueueEncryption::kStdin) {
    const postern_status asked =
        AskQueueKey(options, meaning, &server_options.queue_key, out_error);
    if (asked != POSTERN_OK) return asked;
  }
  const server::PrivilegeNeeds needs = server::NeedsOf(meaning);
  if (handle->helped != nullptr && needs.mailboxes) {
    handle->log->Write(postern::LogRecord{
        .level = postern::LogLevel::kWarning,
        .subsystem = "server",
        .session = "",
        .event = "privileges kept",
        .fields = {
            {"reason", "the configuration serves IMAP, which acts as the mailboxes' users"}}});
  } else if (handle->helped != nullptr) {
    PrepareToBecome(handle.get(), account, needs.passwords, server::UserbasePairs(*config.runtime),
                    server::ProgramsForHelper(world, meaning, account), &server_options);
  }
  handle->server = server::Server::Create(&world, std::move(server_options), std::move(config),
                                          handle->log.get());
  *out = handle.release();
  return POSTERN_OK;
}

postern_status Start(postern_server* handle, postern_error** out_error) {
  if (handle->started)
    return Fail(out_error, POSTERN_ERR_BUSY, "started", "the server was started before");
  Status result;
  bool done = false;
  handle->tasks.Spawn(StartServer(handle, &result, &done));
  PollUntil(handle, done);
  if (!result.ok()) return FailWith(out_error, result);
  handle->started = true;
  WatchHelper(handle);
  for (const postern::Endpoint& endpoint : handle->server->endpoints())
    handle->endpoints.push_back(endpoint.ToString());
  return POSTERN_OK;
}

postern_status Reload(postern_server* handle, postern_error** out_error) {
  postern::policy::Diagnostics diagnostics;
  const Status reloaded = handle->server->Reload(&diagnostics);
  LogWarnings(handle, diagnostics);
  if (postern::policy::HasErrors(diagnostics)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "config", AllErrors(diagnostics));
  }
  return reloaded.ok() ? POSTERN_OK : FailWith(out_error, reloaded);
}

postern_status Submit(postern_server* handle, char* out_id, size_t out_id_size,
                      const postern_submission* given, postern_error** out_error) {
  postern_submission options;
  if (given == nullptr ||
      !TakeStruct(&options, postern_submission POSTERN_SUBMISSION_INIT, given)) {
    return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                "submission is NULL or of an unknown size");
  }
  if (!handle->started || handle->stopping) {
    return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server is not running");
  }
  server::Submission submission;
  if (options.reverse_path != nullptr) submission.reverse_path = options.reverse_path;
  for (size_t i = 0; i < options.recipient_count; ++i) {
    if (options.recipients[i] == nullptr) {
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                  StrCat("recipient ", i, " is NULL"));
    }
    submission.recipients.push_back(options.recipients[i]);
  }
  if (options.content != nullptr) submission.content.assign(options.content, options.content_len);
  server::SubmissionResult result;
  bool done = false;
  handle->last_callback_status = POSTERN_OK;
  handle->tasks.Spawn(SubmitTo(handle, std::move(submission), &result, &done));
  PollUntil(handle, done);
  if (!result.status.ok()) return FailWith(out_error, result.status);
  if (!result.reply.IsPositive() && handle->last_callback_status != POSTERN_OK) {
    Fail(out_error, POSTERN_ERR_CALLBACK, "callback", "on_message failed");
    if (out_error != nullptr) (*out_error)->callback_status = handle->last_callback_status;
    return POSTERN_ERR_CALLBACK;
  }
  if (!result.reply.IsPositive()) {
    const bool full = result.reply.code == 452;
    return Fail(out_error, full ? POSTERN_ERR_LIMIT : POSTERN_ERR_PROTOCOL,
                full ? "disk-full" : "refused", result.reply.ToString());
  }
  if (out_id != nullptr) {
    const size_t length = std::min(out_id_size - 1, result.message_id.size());
    std::memcpy(out_id, result.message_id.data(), length);
    out_id[length] = '\0';
  }
  return POSTERN_OK;
}

}  // namespace

extern "C" {

void postern_server_options_init(postern_server_options* options, size_t struct_size) {
  if (options == nullptr || struct_size < sizeof(size_t)) return;
  std::memset(options, 0, struct_size);
  options->struct_size = struct_size;
}

postern_status postern_server_new(postern_server** out, const postern_server_options* options,
                                  postern_error** out_error) {
  return Guard(out_error, [&] { return NewServer(out, options, out_error); });
}

postern_status postern_server_start(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    return Start(handle, out_error);
  });
}

postern_status postern_server_poll(postern_server* handle, size_t* out_ran, int64_t timeout_ms,
                                   postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out_ran != nullptr) *out_ran = 0;
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (!handle->started)
      return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server was not started");
    if (handle->world->worker_count() != 1) {
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
                  "a server with several workers is run, not polled");
    }
    if (InCallback(handle)) return FailInCallback(out_error);
    if (handle->stopped) return Ended(handle, POSTERN_DONE, out_error);
    const Duration wait =
        timeout_ms < 0 ? absl::InfiniteDuration() : absl::Milliseconds(timeout_ms);
    const size_t ran = handle->world->Poll(wait);
    if (out_ran != nullptr) *out_ran = ran;
    return handle->stopped ? Ended(handle, POSTERN_DONE, out_error) : POSTERN_OK;
  });
}

postern_status postern_server_run(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (!handle->started)
      return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server was not started");
    if (InCallback(handle)) return FailInCallback(out_error);
    if (!handle->stopped) handle->world->Run();
    return Ended(handle, POSTERN_OK, out_error);
  });
}

void postern_server_stop(postern_server* handle, int64_t grace_ms) {
  if (handle == nullptr) return;
  Stop& stop = handle->stop;
  if (stop.asked.exchange(true)) return;
  stop.handle = handle;
  stop.grace = absl::Milliseconds(grace_ms > 0 ? grace_ms : kDefaultGraceMs);
  stop.Job::run = [](rt::Job* job) { TryToStop(static_cast<Stop*>(job)); };
  stop.Timer::run = [](rt::Timer* timer) { TryToStop(static_cast<Stop*>(timer)); };
  handle->world->main_loop().PostJob(&stop);
}

void postern_server_free(postern_server* handle) {
  if (handle == nullptr) return;
  (void)Guard(nullptr, [&]() -> postern_status {
    if (handle->started && !handle->stopped) {
      BeginStop(handle, absl::ZeroDuration());
      while (!handle->stopped) handle->world->Poll(absl::Milliseconds(100));
    }
    return POSTERN_OK;
  });
  delete handle;
}

postern_status postern_server_reload(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    return Reload(handle, out_error);
  });
}

postern_status postern_server_reopen_log(postern_server* handle, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (handle->log_writer == nullptr) return POSTERN_OK;
    const Status reopened = handle->log_writer->Reopen();
    return reopened.ok() ? POSTERN_OK : FailWith(out_error, reopened);
  });
}

void postern_server_log(postern_server* handle, int32_t level, const char* text) {
  if (handle == nullptr || text == nullptr) return;
  (void)Guard(nullptr, [&]() -> postern_status {
    postern::LogRecord record;
    record.level = static_cast<postern::LogLevel>(
        std::clamp<int32_t>(level, POSTERN_LOG_DEBUG, POSTERN_LOG_ERROR));
    record.subsystem = "server";
    record.event = text;
    handle->log->Write(record);
    return POSTERN_OK;
  });
}

size_t postern_server_endpoint_count(const postern_server* handle) {
  return handle == nullptr ? 0 : handle->endpoints.size();
}

const char* postern_server_endpoint(const postern_server* handle, size_t index) {
  if (handle == nullptr || index >= handle->endpoints.size()) return nullptr;
  return handle->endpoints[index].c_str();
}

uint16_t postern_server_endpoint_port(const postern_server* handle, size_t index) {
  if (handle == nullptr || index >= handle->endpoints.size()) return 0;
  return handle->server->endpoints()[index].port;
}

postern_status postern_server_submit(postern_server* handle, char* out_id, size_t out_id_size,
                                     const postern_submission* submission,
                                     postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "server is NULL");
    if (InCallback(handle)) return FailInCallback(out_error);
    if (out_id != nullptr && out_id_size < kMessageIdSize) {
      return Fail(
          out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument",
          StrCat("out_id_size is ", out_id_size, ": an id takes ", kMessageIdSize, " octets"));
    }
    return Submit(handle, out_id, out_id_size, submission, out_error);
  });
}

postern_status postern_server_metrics(postern_server* handle, postern_buf* out,
                                      postern_error** out_error) {
  return Guard(out_error, [&] {
    if (handle == nullptr || out == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", "an argument is NULL");
    if (InCallback(handle)) return FailInCallback(out_error);
    if (!handle->started || handle->stopping)
      return Fail(out_error, POSTERN_ERR_BUSY, "not-running", "the server is not running");
    std::string text;
    bool done = false;
    handle->tasks.Spawn(AskMetrics(handle, &text, &done));
    PollUntil(handle, done);
    postern::capi::Give(out, text);
    return static_cast<postern_status>(POSTERN_OK);
  });
}

}  // extern "C"
