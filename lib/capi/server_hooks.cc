#include "lib/capi/server_hooks.h"

#include <atomic>

#include "lib/capi/filter_capi.h"
#include "lib/capi/message_capi.h"
#include "lib/capi/server_capi.h"

namespace postern::capi {
namespace {

server::IncomingVerdict CallOnMessage(postern_server* handle, const server::IncomingView& view) {
  const postern_message_callbacks& callbacks = handle->message;
  const postern_message message = MessageOf(view);
  postern_message_verdict verdict{};
  verdict.struct_size = sizeof verdict;
  ++handle->callbacks_running;
  const postern_status returned = callbacks.on_message(&message, &verdict, callbacks.user_data);
  --handle->callbacks_running;
  handle->last_callback_status = returned;
  return VerdictOf(returned, verdict);
}

service::FilterVerdict CallOnStep(postern_server* handle, const service::FilterQuestion& question) {
  const postern_filter_callbacks& callbacks = handle->filter;
  const postern_step step = StepOf(question);
  postern_step_verdict verdict{};
  verdict.struct_size = sizeof verdict;
  ++handle->callbacks_running;
  const postern_status returned = callbacks.on_step(&step, &verdict, callbacks.user_data);
  --handle->callbacks_running;
  return VerdictOf(returned, verdict);
}

void CallOnEvent(postern_server* handle, const service::FilterReport& report) {
  const postern_filter_callbacks& callbacks = handle->filter;
  const postern_step step = StepOf(report);
  const std::string event(service::SessionEventName(report.event));
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

}  // namespace

void SetHooks(postern_server* handle, server::Hooks* hooks) {
  if (handle->message.on_message != nullptr) {
    hooks->on_message = [handle](const server::IncomingView& view) {
      return CallOnMessage(handle, view);
    };
  }
  const postern_filter_callbacks& filter = handle->filter;
  service::FilterFunctions& functions = hooks->step;
  if (filter.on_step != nullptr) {
    if (filter.phases != 0) functions.phases = filter.phases & service::kAllPhases;
    functions.on_step = [handle](const service::FilterQuestion& question) {
      return CallOnStep(handle, question);
    };
  }
  if (filter.on_event != nullptr) {
    functions.events = service::kAllEvents;
    functions.on_event = [handle](const service::FilterReport& report) {
      CallOnEvent(handle, report);
    };
  }
  if (handle->login.on_token != nullptr) {
    hooks->on_token = [handle](const server::TokenView& view) {
      return CallOnToken(handle->login, view);
    };
  }
}

}  // namespace postern::capi
