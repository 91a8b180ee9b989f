#include "lib/server/explain.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/core/policy/explain_text.h"
#include "lib/server/config_resolver.h"
#include "lib/server/endpoints.h"
#include "lib/server/explain_dialog.h"
#include "lib/server/explain_filters.h"
#include "lib/server/explain_where.h"
#include "lib/server/listeners.h"
#include "lib/server/local_session.h"
#include "lib/server/mail_gate.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;
using service::SmtpSessionFacts;

class NoLog final : public LogSink {
 public:
  void Write(const LogRecord&) override {}
};

// Reaches tells whether a client at `client` can come to `listener`.
bool Reaches(const Listener& listener, const IpAddress& client, bool is_own) {
  if (listener.is_socket || listener.protocol != policy::ListenerProtocol::kSmtp) return false;
  if (policy::IsLoopbackListener(listener) && !is_own) return false;
  if (listener.family == policy::AddressFamily::kInet4 && client.is_v6()) return false;
  if (listener.family == policy::AddressFamily::kInet6 && !client.is_v6()) return false;
  const std::optional<IpAddress> address = IpAddress::Parse(listener.target);
  return !address || address->is_v6() == client.is_v6();
}

// ChooseListener sets `listener` and `listener_why`, or `problem`.
void ChooseListener(const Runtime& runtime, const ExplainQuestion& question, Explanation* out) {
  const Config& config = runtime.config();
  const bool by_choice = question.listener_line > 0 || question.port > 0 || !question.tag.empty();
  if (!question.client && !by_choice) {
    out->is_local_socket = true;
    out->listener_why = "no client address was given: mail handed in on this machine";
    for (size_t i = 0; i < config.listeners.size(); ++i) {
      if (config.listeners[i].is_socket) out->listener = static_cast<int>(i);
    }
    return;
  }
  const IpAddress client = question.client.value_or(IpAddress::V4(127, 0, 0, 1));
  const bool is_own = runtime.IsOwnAddress(client);
  int best = policy::kNoIndex;
  int best_score = -1;
  for (size_t i = 0; i < config.listeners.size(); ++i) {
    const Listener& listener = config.listeners[i];
    if (listener.protocol != policy::ListenerProtocol::kSmtp || listener.is_socket) continue;
    if (question.listener_line > 0 && listener.location.line != question.listener_line) continue;
    if (question.port > 0 && listener.port != question.port) continue;
    if (!question.tag.empty() && listener.tag != question.tag) continue;
    int score = 0;
    if (Reaches(listener, client, is_own)) score += 8;
    if (!by_choice && score == 0) continue;
    const bool wants_login = !question.login.empty();
    if (wants_login == (listener.auth != policy::ListenerAuth::kNone)) score += 4;
    if (!wants_login && listener.auth != policy::ListenerAuth::kRequired) score += 2;
    if (listener.tag.empty()) score += 1;
    if (score <= best_score) continue;
    best = static_cast<int>(i);
    best_score = score;
  }
  if (best == policy::kNoIndex) {
    std::string lines;
    for (const Listener& listener : config.listeners) {
      if (listener.protocol == policy::ListenerProtocol::kSmtp && !listener.is_socket)
        StrAppend(lines, lines.empty() ? "" : ", ", listener.location.line);
    }
    out->problem = by_choice ? StrCat(
                                   "no SMTP listener of the configuration is like that: they are "
                                   "at the lines ",
                                   lines.empty() ? "(none)" : lines)
                             : StrCat("no SMTP listener is reached from ", client.ToString());
    return;
  }
  out->listener = best;
  const Listener& chosen = config.listeners[static_cast<size_t>(best)];
  if (!question.login.empty() && chosen.auth == policy::ListenerAuth::kNone) {
    out->problem =
        by_choice
            ? StrCat("the listener at ", chosen.location.ToString(),
                     " lets nobody log in: give it auth (or auth-optional), or ask for another one")
            : StrCat("no SMTP listener that is reached from ", client.ToString(),
                     " lets anybody log in: give one of them auth (or auth-optional), such as that "
                     "at ",
                     chosen.location.ToString());
    return;
  }
  out->listener_why = question.listener_line > 0 ? "by its line"
                      : question.port > 0        ? "by its port"
                      : !question.tag.empty()    ? "by its tag"
                      : !question.login.empty()  ? "the first that such a client reaches to log in"
                                                 : "the first that such a client reaches";
}

}  // namespace

rt::Task<Explanation> Explain(rt::World* world, const ServerOptions* server,
                              ExplainQuestion question) {
  Explanation out;
  LoadedConfig loaded = LoadConfig(*world, *server);
  out.diagnostics = std::move(loaded.diagnostics);
  if (loaded.runtime == nullptr) co_return out;
  out.runtime = loaded.runtime;
  out.day = DayOf(world->clock().WallNow());
  ChooseListener(*loaded.runtime, question, &out);
  if (!out.problem.empty()) co_return out;

  std::unique_ptr<resolve::Resolver> own;
  resolve::Resolver* resolver = server->resolver;
  if (resolver == nullptr) {
    StatusOr<std::unique_ptr<resolve::Resolver>> made =
        MakeResolver(*world, loaded.runtime->config());
    if (!made.ok()) {
      out.problem = std::string(Message(made.status()));
      co_return out;
    }
    own = std::move(*made);
    resolver = own.get();
  }
  RuntimeHolder runtimes(loaded.runtime);
  NoLog log;
  const Hooks hooks;
  policy::Trace trace;
  MailGateLimits limits;
  limits.expansion.trace = &trace;
  // A login is taken for granted.
  LoginGate logins(&hooks);
  MailGate gate(world, &runtimes, nullptr, resolver, &hooks, &logins, &log, limits);

  SmtpSessionFacts facts;
  facts.id = "0000000000000000";
  auto slot = std::make_shared<ListenerSlot>(ListenerSlot::View{loaded.runtime, out.listener});
  Endpoint endpoint;
  if (out.is_local_socket) {
    endpoint.unix_path = "local";
  } else {
    const Listener& listener =
        loaded.runtime->config().listeners[static_cast<size_t>(out.listener)];
    const StatusOr<std::vector<Endpoint>> bound =
        ResolveListener(listener, world->network().Interfaces());
    facts.remote.address = question.client.value_or(IpAddress::V4(127, 0, 0, 1));
    if (bound.ok() && !bound->empty()) {
      endpoint = bound->front();
      for (const Endpoint& each : *bound) {
        if (each.address.is_v6() == facts.remote.address.is_v6()) {
          endpoint = each;
          break;
        }
      }
    }
  }
  facts.local = endpoint;
  if (out.is_local_socket) facts.remote.unix_path = "local";
  facts.listener = SmtpListenerOf(world, slot, endpoint);
  if (facts.listener->tls_from_start) facts.tls.emplace();
  ExplainFilters filters(world, loaded.runtime, out.listener, question.ask_filters, &log);
  ExplainDialog dialog(world, &gate, &trace, facts, &question, &filters, &out);
  co_await dialog.Run();
  FillDestinations(world, &runtimes, facts, question, dialog.junk(), &out);
  if (own != nullptr) own->Stop();
  co_return out;
}

}  // namespace postern::server
