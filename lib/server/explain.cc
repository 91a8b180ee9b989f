#include "lib/server/explain.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/core/policy/explain_text.h"
#include "lib/core/smtp/server_session.h"
#include "lib/server/config_resolver.h"
#include "lib/server/endpoints.h"
#include "lib/server/listeners.h"
#include "lib/server/local_session.h"
#include "lib/server/local_targets.h"
#include "lib/server/mail_gate.h"
#include "lib/service/deliver/mail_file.h"
#include "lib/service/smtp/message_intake.h"
#include "lib/store/queue/memory_body.h"

namespace postern::server {
namespace {

using policy::Config;
using policy::Listener;
using service::SmtpSessionFacts;
using smtp::Decision;
using smtp::ServerEvent;

class NoLog final : public LogSink {
 public:
  void Write(const LogRecord&) override {}
};

// --- which listener ---

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
    out->problem = by_choice ? "no SMTP listener of the configuration is like that"
                             : StrCat("no SMTP listener is reached from ", client.ToString());
    return;
  }
  out->listener = best;
  out->listener_why = question.listener_line > 0 ? "by its line"
                      : question.port > 0        ? "by its port"
                      : !question.tag.empty()    ? "by its tag"
                      : !question.login.empty()  ? "the first that such a client reaches to log in"
                                                 : "the first that such a client reaches";
}

// --- the dialog ---

std::string OneText(std::string_view octets) {
  std::string out;
  for (const std::string_view line : Split(octets, '\n')) {
    const std::string_view text = Trim(line);
    if (!text.empty()) StrAppend(out, out.empty() ? "" : "\n", text);
  }
  return out;
}

// DotStuffed gives `text` as DATA carries it.
std::string DotStuffed(std::string_view text) {
  std::string out;
  for (std::string_view line : Split(text, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    StrAppend(out, !line.empty() && line[0] == '.' ? "." : "", line, "\r\n");
  }
  if (!text.empty() && text.back() == '\n') out.resize(out.size() - 2);  // Split's last piece
  return out + ".\r\n";
}

// Dialog is the server's side of one session, and a client that says what it is given.
class Dialog {
 public:
  // `trace` is where the gate's expansions leave their steps.
  Dialog(rt::World* world, MailGate* gate, const policy::Trace* trace, SmtpSessionFacts facts,
         const ExplainQuestion* question, Explanation* out)
      : world_(world),
        gate_(gate),
        trace_(trace),
        facts_(std::move(facts)),
        question_(question),
        out_(out),
        session_(facts_.listener->options,
                 facts_.listener->is_local_socket ? "localhost" : facts_.remote.address.ToLiteral(),
                 facts_.tls.has_value(), world->main_loop().Now()) {}

  rt::Task<void> Run();

 private:
  // Say gives the reply to `command`; "" when the session is over.
  rt::Task<std::string> Say(std::string command);
  // Settle lets the session run until it wants input.
  rt::Task<void> Settle();
  rt::Task<void> AskReverseName();
  rt::Task<void> OnMailFrom(mail::ReversePath sender);
  rt::Task<void> OnRcptTo(mail::ForwardPath recipient);
  void OnMessageEnd();
  bool Offers(std::string_view keyword) const;

  rt::World* world_;
  MailGate* gate_;
  const policy::Trace* trace_;
  SmtpSessionFacts facts_;
  const ExplainQuestion* question_;
  Explanation* out_;
  smtp::ServerSession session_;
  mail::ReversePath sender_;
  ExplainedRecipient* recipient_ = nullptr;  // of the RCPT that is being answered
  std::unique_ptr<service::MessageIntake> intake_;
  std::string output_;
  bool asked_name_ = false;
  bool over_ = false;
};

rt::Task<void> Dialog::AskReverseName() {
  if (asked_name_) co_return;
  asked_name_ = true;
  if (facts_.listener->is_local_socket) {
    facts_.reverse_name = "localhost";
  } else if (question_->reverse_name) {
    facts_.reverse_name = *question_->reverse_name;
  } else if (facts_.listener->wants_reverse_name) {
    std::string name = co_await gate_->ReverseName(world_->main_loop(), facts_.remote.address);
    facts_.reverse_name = std::move(name);
  }
  out_->reverse_name = facts_.reverse_name;
}

rt::Task<void> Dialog::OnMailFrom(mail::ReversePath sender) {
  sender_ = std::move(sender);
  co_await AskReverseName();
  std::optional<mail::Reply> refusal =
      co_await gate_->CheckSender(world_->main_loop(), facts_, sender_);
  session_.Decide(refusal ? Decision::Refuse(*std::move(refusal)) : Decision::Accept());
}

rt::Task<void> Dialog::OnRcptTo(mail::ForwardPath recipient) {
  service::RecipientVerdict verdict =
      co_await gate_->CheckRecipient(world_->main_loop(), facts_, sender_, recipient);
  recipient_->trace = *trace_;
  recipient_->reason = std::move(verdict.reason);
  recipient_->notes = MailGate::ExpansionOf(verdict.ticket).notes;
  for (const policy::Destination& each : MailGate::ExpansionOf(verdict.ticket).destinations)
    recipient_->destinations.push_back({each, ""});
  session_.Decide(verdict.refusal ? Decision::Refuse(*std::move(verdict.refusal))
                                  : Decision::Accept());
}

void Dialog::OnMessageEnd() {
  (void)intake_->Finish();
  switch (intake_->problem()) {
    case service::MessageIntake::Problem::kHeaderTooBig:
      session_.Decide(Decision::Refuse(mail::Reply(552, {5, 3, 4}, "Message header too big")));
      return;
    case service::MessageIntake::Problem::kLoop:
      session_.Decide(Decision::Refuse(
          mail::Reply(554, {5, 4, 6}, "Routing loop detected: too many Received fields")));
      return;
    case service::MessageIntake::Problem::kNone: break;
  }
  session_.Decide(
      Decision::Accept(mail::Reply(250, {2, 0, 0}, "Message would be accepted for delivery")));
}

rt::Task<void> Dialog::Settle() {
  for (;;) {
    const ServerEvent event = session_.NextEvent(world_->main_loop().Now());
    // What the event lends lives until the session moves on, so this is dropped below.
    const size_t said = session_.PendingOutput().size();
    output_ += session_.PendingOutput();
    if (event.kind == ServerEvent::Kind::kBodyChunk) (void)intake_->Push(event.text);
    switch (event.kind) {
      case ServerEvent::Kind::kNeedInput: session_.Wrote(said); co_return;
      case ServerEvent::Kind::kNeedOutput:
      case ServerEvent::Kind::kCommandLine: break;
      case ServerEvent::Kind::kConnected:
        if (facts_.listener->wants_reverse_name) co_await AskReverseName();
        session_.Decide(Decision::Accept());
        break;
      case ServerEvent::Kind::kHello:
        facts_.helo = std::string(event.text);
        facts_.extended = event.extended;
        session_.Decide(Decision::Accept());
        break;
      case ServerEvent::Kind::kStartTls:
        session_.Wrote(said);
        facts_.tls.emplace();
        facts_.helo.clear();
        session_.TlsEstablished();
        co_return;
      case ServerEvent::Kind::kAuthenticate:
        facts_.auth_user = question_->login;
        session_.Decide(Decision::Accept());
        break;
      case ServerEvent::Kind::kAuthSecret:
        // A question is asked with PLAIN.
        session_.Decide(Decision::Refuse(mail::Reply()));
        break;
      case ServerEvent::Kind::kMailFrom: {
        mail::ReversePath sender = *event.reverse_path;
        co_await OnMailFrom(std::move(sender));
        break;
      }
      case ServerEvent::Kind::kRcptTo: {
        mail::ForwardPath recipient = *event.forward_path;
        co_await OnRcptTo(std::move(recipient));
        break;
      }
      case ServerEvent::Kind::kDataBegin: {
        service::MessageIntakeOptions options;
        options.received = "Received: by explain\r\n";
        options.max_header_bytes = facts_.listener->max_header_bytes;
        options.max_received_fields = facts_.listener->max_received_fields;
        intake_ = std::make_unique<service::MessageIntake>(std::move(options));
        session_.Decide(Decision::Accept());
        break;
      }
      case ServerEvent::Kind::kMessageEnd: OnMessageEnd(); break;
      case ServerEvent::Kind::kClosed:
        over_ = true;
        session_.Wrote(said);
        co_return;
      case ServerEvent::Kind::kAwaitingDecision:
      case ServerEvent::Kind::kAwaitingTls:
      case ServerEvent::Kind::kBodyChunk:
      case ServerEvent::Kind::kTransactionReset:
      case ServerEvent::Kind::kProtocolError: break;
    }
    session_.Wrote(said);
  }
}

rt::Task<std::string> Dialog::Say(std::string command) {
  if (over_) co_return std::string();
  std::string octets = StrCat(command, "\r\n");
  output_.clear();
  std::string_view rest = octets;
  while (!rest.empty() && !over_) {
    const size_t taken = session_.Feed(rest);
    rest.remove_prefix(taken);
    co_await Settle();
  }
  out_->dialog.push_back({command, OneText(output_)});
  co_return out_->dialog.back().reply;
}

bool Dialog::Offers(std::string_view keyword) const {
  for (const std::string_view line : Split(out_->dialog.back().reply, '\n')) {
    if (line.size() > 4 && StartsWithIgnoreCase(line.substr(4), keyword)) return true;
  }
  return false;
}

rt::Task<void> Dialog::Run() {
  const std::string hello = StrCat("EHLO ", question_->helo);
  co_await Settle();
  out_->dialog.push_back({"", OneText(output_)});
  (void)co_await Say(hello);
  const bool wants_login = !question_->login.empty() && !facts_.listener->is_local_socket;
  if ((question_->tls || wants_login) && Offers("STARTTLS")) {
    const std::string start = "STARTTLS";
    (void)co_await Say(start);
    (void)co_await Say(hello);
  }
  if (wants_login && Offers("AUTH")) {
    // Who it is stands in the question; what is said here is nobody's password.
    const std::string log_in = "AUTH PLAIN AHUAcA==";
    (void)co_await Say(log_in);
    out_->dialog.back().command = "AUTH PLAIN ...";
  }
  const std::string mail = StrCat("MAIL FROM:<", question_->sender, ">");
  const std::string reply = co_await Say(mail);
  bool all = true;
  for (const std::string& address : question_->recipients) {
    recipient_ = &out_->recipients.emplace_back();
    recipient_->address = address;
    if (reply.rfind('2', 0) != 0) {
      all = false;
      continue;
    }
    const std::string rcpt = StrCat("RCPT TO:<", address, ">");
    std::string answer = co_await Say(rcpt);
    recipient_->reply = std::move(answer);
    all = all && recipient_->reply.rfind('2', 0) == 0;
  }
  out_->accepted = all;
  if (!question_->message || !all) co_return;
  out_->has_message = true;
  const std::string data = "DATA";
  const std::string go_on = co_await Say(data);
  if (go_on.rfind('3', 0) != 0) {
    out_->accepted = false;
    co_return;
  }
  std::string text = DotStuffed(*question_->message);
  text.resize(text.size() - 2);  // Say adds the last CRLF
  const std::string end = co_await Say(text);
  out_->dialog.back().command = StrCat("(", question_->message->size(), " octets)");
  out_->accepted = end.rfind('2', 0) == 0;
}

// --- where it goes ---

std::string WhereRelayed(const Config& config, const policy::Destination& destination) {
  const policy::RelayOptions& relay = config.actions[static_cast<size_t>(destination.action)].relay;
  if (relay.host != policy::kNoIndex || relay.domain != policy::kNoIndex)
    return relay.host != policy::kNoIndex ? "to the host that the action names"
                                          : "to the host of the domain in the action's table";
  const std::string domain = Escape(destination.destination.domain, 120);
  if (!relay.backup) return StrCat("to ", domain, ", by its MX records");
  return StrCat("to the exchangers of ", domain, " that come before ",
                relay.backup_mx.empty() ? "this server" : relay.backup_mx);
}

void FillDestinations(rt::World* world, RuntimeHolder* runtimes, const SmtpSessionFacts& facts,
                      const ExplainQuestion& question, Explanation* out) {
  const Runtime& runtime = *out->runtime;
  LocalTargets targets(world, runtimes);
  bool spam = false;
  if (question.message) {
    const store::MemoryBody body(*question.message);
    const StatusOr<bool> marked = deliver::IsMarkedAsSpam(body);
    spam = marked.ok() && *marked;
  }
  for (ExplainedRecipient& recipient : out->recipients) {
    policy::Expansion expansion;
    for (const ExplainedDestination& each : recipient.destinations)
      expansion.destinations.push_back(each.destination);
    const std::vector<queue::Envelope> envelopes =
        EnvelopesFor(runtime, facts, mail::ReversePath(), mail::ForwardPath(), expansion);
    for (size_t i = 0; i < recipient.destinations.size(); ++i) {
      ExplainedDestination& each = recipient.destinations[i];
      const policy::Destination& destination = each.destination;
      switch (destination.kind) {
        case policy::Destination::Kind::kRelay:
          each.where = WhereRelayed(runtime.config(), destination);
          break;
        case policy::Destination::Kind::kFile:
          each.where = StrCat("appended to ", Escape(destination.path_or_command, 200));
          break;
        case policy::Destination::Kind::kCommand:
          each.where = StrCat("to the program ", Escape(destination.path_or_command, 200));
          break;
        case policy::Destination::Kind::kAccount: {
          const StatusOr<deliver::LocalTarget> target = targets.ResolveTarget(envelopes[i]);
          if (!target.ok()) {
            each.where = StrCat("not now: ", Escape(Message(target.status()), 200));
          } else if (target->path.empty()) {
            each.where = StrCat("by the action, for ", Escape(destination.user, 80));
          } else {
            each.where =
                StrCat(target->kind == deliver::LocalTarget::Kind::kMaildir ? "into the Maildir "
                                                                            : "into ",
                       Escape(target->path, 300), spam && target->junk ? "/.Junk" : "");
          }
          break;
        }
      }
      if (destination.kind != policy::Destination::Kind::kRelay && !destination.run_as.name.empty())
        StrAppend(each.where, ", as ", Escape(destination.run_as.name, 80));
    }
  }
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
  facts.id = "explain";
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
  Dialog dialog(world, &gate, &trace, facts, &question, &out);
  co_await dialog.Run();
  FillDestinations(world, &runtimes, facts, question, &out);
  if (own != nullptr) own->Stop();
  co_return out;
}

}  // namespace postern::server
