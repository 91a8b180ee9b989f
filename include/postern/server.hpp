// A mail server in your process, in C++. Header-only over postern/server.h, which says what each
// thing means; C++17; no exceptions of its own.
#ifndef POSTERN_SERVER_HPP
#define POSTERN_SERVER_HPP

#include "filter.hpp"
#include "result.hpp"
#include "server.h"
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace postern {

// IncomingMessage is a message that has come and waits for its reply. It is lent to a function, and
// so is all that it gives.
class IncomingMessage {
 public:
  explicit IncomingMessage(const postern_message* message) : message_(message) {}

  std::string_view reverse_path() const {
    return internal::View(postern_message_reverse_path(message_));
  }
  std::vector<std::string_view> recipients() const {
    std::vector<std::string_view> all(postern_message_recipient_count(message_));
    for (std::size_t i = 0; i < all.size(); ++i)
      all[i] = internal::View(postern_message_recipient(message_, i));
    return all;
  }
  std::string_view content() const { return internal::View(postern_message_content(message_)); }
  std::string_view client_address() const {
    return internal::View(postern_message_client_address(message_));
  }
  std::string_view helo() const { return internal::View(postern_message_helo(message_)); }
  std::string_view auth_user() const { return internal::View(postern_message_auth_user(message_)); }
  bool is_tls() const { return postern_message_is_tls(message_) != 0; }
  const postern_message* get() const { return message_; }

 private:
  const postern_message* message_;
};

// MessageVerdict is what becomes of a message.
struct MessageVerdict {
  int32_t action = POSTERN_MESSAGE_CONTINUE;
  int32_t reply_code = 0;
  std::string text;

  static MessageVerdict Continue() { return {}; }
  // It is yours from here on: have it safe before you return.
  static MessageVerdict Take() { return {POSTERN_MESSAGE_TAKE, 0, ""}; }
  static MessageVerdict Refuse(int32_t code, std::string text) {
    return {POSTERN_MESSAGE_REFUSE, code, std::move(text)};
  }
};

// ServerOptions are those of postern_server_options. Functions that are empty are not called; they
// run on the server's loops, and one that throws makes the client try again later (451).
struct ServerOptions {
  // The configuration: a text, or the path of a file; exactly one of the two.
  std::string config_text = {};
  std::string config_path = {};
  std::string spool_path = {};  // empty: the configuration's
  bool in_memory = false;
  bool no_threads = false;
  uint16_t pool_threads = 0;
  uint16_t workers = 0;
  std::string run_as = {};
  std::vector<std::string> macros = {};  // "name=value"
  bool control = true;                   // false: no control socket
  int32_t log_level = 0;
  // Where the library writes the log: "syslog", "file:/path", … Empty: it goes to on_log.
  std::string log_target = {};
  bool log_json = false;
  // on_log gets a record as a line. Any thread, several at once.
  std::function<void(int32_t level, std::string_view line)> on_log = {};
  std::function<MessageVerdict(const IncomingMessage& message)> on_message = {};
  Filter filter = {};
};

// Server is a postern_server and the functions that it calls.
class Server {
 public:
  static Result<Server> Make(ServerOptions given) {
    Server made;
    made.options_ = std::make_unique<ServerOptions>(std::move(given));
    ServerOptions* const own = made.options_.get();
    postern_server_options options = POSTERN_SERVER_OPTIONS_INIT;
    if (!own->config_path.empty()) {
      options.config_path = own->config_path.c_str();
    } else {
      options.config_text = own->config_text.c_str();
      options.config_text_len = own->config_text.size();
    }
    if (!own->spool_path.empty()) options.spool_path = own->spool_path.c_str();
    if (!own->run_as.empty()) options.run_as = own->run_as.c_str();
    options.in_memory = own->in_memory ? 1 : 0;
    options.no_threads = own->no_threads ? 1 : 0;
    options.pool_threads = own->pool_threads;
    options.workers = own->workers;
    options.no_control = own->control ? 0 : 1;
    options.log_level = own->log_level;
    std::vector<const char*> macros;
    for (const std::string& macro : own->macros) macros.push_back(macro.c_str());
    options.macros = macros.data();
    options.macro_count = macros.size();
    postern_log_callbacks log = POSTERN_LOG_CALLBACKS_INIT;
    log.on_log = WriteLog;
    log.user_data = own;
    if (own->on_log) options.log = &log;
    postern_log_output output = POSTERN_LOG_OUTPUT_INIT;
    output.target = own->log_target.c_str();
    output.json = own->log_json ? 1 : 0;
    if (!own->log_target.empty()) options.log_output = &output;
    postern_message_callbacks message = POSTERN_MESSAGE_CALLBACKS_INIT;
    message.on_message = Judge;
    message.user_data = own;
    if (own->on_message) options.message = &message;
    const postern_filter_callbacks filter = internal::CallbacksOf(&own->filter);
    if (filter.on_step != nullptr || filter.on_event != nullptr) options.filter = &filter;
    postern_server* server = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_server_new(&server, &options, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    made.server_.reset(server);
    return made;
  }

  Server(Server&&) = default;
  Server& operator=(Server&& other) noexcept {
    options_.swap(other.options_);
    server_.swap(other.server_);
    return *this;
  }

  Result<Done> Start() { return Call(postern_server_start); }
  Result<Done> Run() { return Call(postern_server_run); }
  // Poll is false once the server has stopped. A negative time: without limit.
  Result<bool> Poll(std::chrono::milliseconds wait) {
    postern_error* error = nullptr;
    const postern_status status = postern_server_poll(get(), nullptr, wait.count(), &error);
    if (status == POSTERN_OK || status == POSTERN_DONE) return status == POSTERN_OK;
    return Error::Take(status, error);
  }
  void Stop(std::chrono::milliseconds grace = {}) { postern_server_stop(get(), grace.count()); }
  Result<Done> Reload() { return Call(postern_server_reload); }
  Result<Done> ReopenLog() { return Call(postern_server_reopen_log); }
  void Log(int32_t level, const std::string& text) {
    postern_server_log(get(), level, text.c_str());
  }

  std::size_t endpoint_count() const { return postern_server_endpoint_count(get()); }
  // "" and 0 when there is no address of that index.
  std::string endpoint(std::size_t index) const {
    const char* text = postern_server_endpoint(get(), index);
    return text == nullptr ? "" : text;
  }
  uint16_t port(std::size_t index) const { return postern_server_endpoint_port(get(), index); }

  // Submit gives the id of the message in the queue. The null reverse-path is "".
  Result<std::string> Submit(const std::string& reverse_path,
                             const std::vector<std::string>& recipients, std::string_view content) {
    std::vector<const char*> names;
    for (const std::string& each : recipients) names.push_back(each.c_str());
    postern_submission submission = POSTERN_SUBMISSION_INIT;
    submission.reverse_path = reverse_path.c_str();
    submission.recipients = names.data();
    submission.recipient_count = names.size();
    submission.content = content.data();
    submission.content_len = content.size();
    char id[32] = "";
    postern_error* error = nullptr;
    const postern_status status = postern_server_submit(get(), id, sizeof id, &submission, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return std::string(id);
  }
  // Metrics is OpenMetrics text.
  Result<std::string> Metrics() {
    postern_buf text{nullptr, 0};
    postern_error* error = nullptr;
    const postern_status status = postern_server_metrics(get(), &text, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&text);
  }

  postern_server* get() const { return server_.get(); }

 private:
  struct Free {
    void operator()(postern_server* server) const { postern_server_free(server); }
  };

  Server() = default;
  Result<Done> Call(postern_status (*function)(postern_server*, postern_error**)) {
    postern_error* error = nullptr;
    const postern_status status = function(get(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done{};
  }
  static void WriteLog(int32_t level, const char* line, void* own) noexcept {
    try {
      static_cast<ServerOptions*>(own)->on_log(level, line);
    } catch (...) {
    }
  }
  static postern_status Judge(const postern_message* message, postern_message_verdict* verdict,
                              void* own) noexcept {
    try {
      const MessageVerdict made =
          static_cast<ServerOptions*>(own)->on_message(IncomingMessage(message));
      verdict->action = made.action;
      verdict->reply_code = made.reply_code;
      internal::CopyText(verdict->reply_text, made.text);
      return POSTERN_OK;
    } catch (...) {
      return POSTERN_ERR_INTERNAL;
    }
  }

  std::unique_ptr<ServerOptions> options_;  // what the server calls: dies after it
  std::unique_ptr<postern_server, Free> server_;
};

}  // namespace postern

#endif  // POSTERN_SERVER_HPP
