#include "lib/server/mail_gate.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/policy/password.h"
#include "lib/server/filters.h"
#include "lib/server/listener_slot.h"
#include "lib/server/own_senders.h"
#include "lib/server/reverse_name.h"

namespace postern::server {
namespace {

using policy::Destination;
using service::SmtpSessionFacts;

constexpr size_t kMaxQuarantineReason = 256;

// Ticket is the gate's note about a recipient: what it was expanded to, under which configuration.
struct Ticket {
  std::shared_ptr<const Runtime> runtime;
  policy::Expansion expansion;
};

mail::Reply ReplyForQueueFailure(const Status& failure) {
  if (failure.code() == StatusCode::kResourceExhausted) {
    return mail::Reply(452, {4, 3, 1}, "Insufficient system storage, try again later");
  }
  return mail::Reply(451, {4, 3, 0}, "Temporary failure, try again later");
}

// QueuedMessage is a message on its way into the queue. With a hook its content is kept in memory,
// bounded by the listener's max-message-size, until the hook has decided.
class QueuedMessage final : public service::IncomingMessage {
 public:
  QueuedMessage(std::unique_ptr<store::MessageWriter> writer, const Hooks* hooks, LogSink* log)
      : writer_(std::move(writer)),
        hooks_(hooks),
        log_(log),
        id_(queue::MessageIdText(writer_->message_id())) {}

  const std::string& id() const override { return id_; }

  rt::Task<Status> Append(std::string_view octets) override {
    if (hooks_->on_message) {
      content_.append(octets);
      co_return OkStatus();
    }
    Status appended = co_await writer_->Append(octets);
    co_return appended;
  }

  void Quarantine(std::string reason) override {
    quarantined_ = true;
    quarantine_reason_ = std::move(reason);
  }

  rt::Task<mail::Reply> Finish(const SmtpSessionFacts& facts, const mail::ReversePath& sender,
                               const std::vector<service::AcceptedRecipient>& recipients) override {
    if (hooks_->on_message) {
      const IncomingVerdict verdict = hooks_->on_message(IncomingView{
          .facts = &facts, .sender = &sender, .recipients = &recipients, .content = content_});
      if (verdict.action == IncomingVerdict::Action::kRefuse) co_return verdict.reply;
      if (verdict.action == IncomingVerdict::Action::kTake) {
        co_return mail::Reply(250, {2, 0, 0}, StrCat(id_, " Message accepted"));
      }
      const Status appended = co_await writer_->Append(content_);
      if (!appended.ok()) co_return ReplyForQueueFailure(appended);
    }
    std::vector<queue::Envelope> envelopes;
    for (const service::AcceptedRecipient& recipient : recipients) {
      const Ticket& ticket = *static_cast<const Ticket*>(recipient.ticket.get());
      std::vector<queue::Envelope> more =
          EnvelopesFor(*ticket.runtime, facts, sender, recipient.path, ticket.expansion);
      for (size_t i = 0; i < more.size(); ++i) {
        queue::Envelope& each = more[i];
        if (i < recipient.envelopes.size())
          each.id = queue::MakeEnvelopeId(writer_->message_id(), recipient.envelopes[i]);
        if (quarantined_) {
          // As `pause envelope` leaves it: until somebody releases it.
          each.held = true;
          // Whoever shows it escapes it.
          each.last_error = StrCat("quarantined by a filter: ",
                                   mail::TruncateUtf8(quarantine_reason_, kMaxQuarantineReason));
        }
        envelopes.push_back(std::move(each));
      }
    }
    StatusOr<queue::MessageId> committed = co_await writer_->Commit(std::move(envelopes));
    if (!committed.ok()) {
      // A full disk is told by the queue when it gets full, and by each refused command.
      if (committed.status().code() != StatusCode::kResourceExhausted) {
        log_->Write(LogRecord{
            .level = LogLevel::kError,
            .subsystem = "queue",
            .session = facts.id,
            .event = "commit-failed",
            .fields = {{"msgid", id_}, {"error", std::string(Message(committed.status()))}}});
      }
      co_return ReplyForQueueFailure(committed.status());
    }
    co_return mail::Reply(250, {2, 0, 0}, StrCat(id_, " Message accepted for delivery"));
  }

 private:
  std::unique_ptr<store::MessageWriter> writer_;
  const Hooks* hooks_;
  LogSink* log_;
  std::string id_;
  std::string content_;
  std::string quarantine_reason_;
  bool quarantined_ = false;
};

// ShareOf names the client whose share a session counts in: an IPv4 address, or the /64 of an IPv6
// one, which is the least that one customer gets (RFC 6177 §2) and holds more addresses than could
// be counted.
std::string ShareOf(const Endpoint& remote) {
  if (remote.is_unix()) return "";
  return std::string(remote.address.is_v6() ? remote.address.bytes().substr(0, 8)
                                            : remote.address.bytes());
}

// LookUp asks `table`, on the pool when it may block.
rt::Task<StatusOr<std::optional<std::string>>> LookUp(rt::Executor* loop, policy::Table* table,
                                                      policy::Service service, std::string key) {
  if (table == nullptr) co_return Unavailable("the table is not loaded");
  if (!table->Blocks()) co_return table->Lookup(service, key);
  auto ask = loop->RunOutside([&] { return table->Lookup(service, key); });
  StatusOr<std::optional<std::string>> found = co_await ask;
  co_return found;
}

// MaySendAs tells whether one of `entries`, a comma list of mail addresses, takes `sender`.
bool MaySendAs(const mail::Address& sender, const std::string& entries, char delimiter) {
  const std::string address = sender.empty() ? std::string() : AsciiLower(sender.ToString());
  for (const std::string_view entry : Split(entries, ',')) {
    const std::string trimmed = AsciiLower(Trim(entry));
    if (!trimmed.empty() && policy::MailaddrMatches(address, trimmed, delimiter)) return true;
  }
  return false;
}

policy::EnvelopeContext ContextOf(const SmtpSessionFacts& facts, const mail::Address& sender,
                                  const mail::Address& recipient) {
  policy::EnvelopeContext context;
  context.is_local_socket = facts.listener->is_local_socket;
  context.remote = facts.remote.address;
  context.reverse_name = facts.reverse_name;
  context.helo = facts.helo;
  context.authenticated = !facts.auth_user.empty() || facts.listener->is_local_socket;
  context.auth_user = facts.auth_user;
  context.tag = facts.listener->tag;
  context.tls = facts.tls.has_value();
  context.sender = sender;
  context.recipient = recipient;
  return context;
}

// PlaceOf is where the login of a session belongs.
LoginPlace PlaceOf(rt::Executor& loop, const SmtpSessionFacts& facts, RuntimeHolder* runtimes) {
  ListenerSlot::View view = ListenerSlot::ViewOf(facts.listener->origin);
  if (view.runtime == nullptr) view.runtime = runtimes->Get();
  LoginPlace place;
  place.loop = &loop;
  place.runtime = std::move(view.runtime);
  place.listener = view.index;
  place.remote = facts.remote;
  place.tls = facts.tls;
  return place;
}

}  // namespace

MailGate::MailGate(rt::World* world, RuntimeHolder* runtimes, store::Queue* queue,
                   resolve::Resolver* resolver, const Hooks* hooks, LoginGate* logins, LogSink* log,
                   MailGateLimits limits)
    : world_(world),
      clock_(&world->clock()),
      runtimes_(runtimes),
      queue_(queue),
      resolver_(resolver),
      hooks_(hooks),
      logins_(logins),
      log_(log),
      limits_(limits),
      targets_(world, runtimes),
      accounts_(&world->processes(), &world->files(), world->helper()),
      recent_accounts_(&world->clock(), &accounts_) {}

std::optional<mail::Reply> MailGate::Greet(const SmtpSessionFacts& facts) {
  const std::string share = ShareOf(facts.remote);
  const bool exempt =
      facts.listener->is_local_socket || runtimes_->Get()->IsOwnAddress(facts.remote.address);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (sessions_ >= limits_.max_sessions)
    return mail::Reply(421, {4, 3, 2}, "Too many connections, try again later");
  size_t& of_share = sessions_by_share_[share];
  if (!exempt && of_share >= limits_.max_sessions_per_address) {
    return mail::Reply(421, {4, 7, 0}, "Too many connections from your address, try again later");
  }
  ++of_share;
  ++sessions_;
  return std::nullopt;
}

void MailGate::Left(const SmtpSessionFacts& facts) {
  const std::lock_guard<std::mutex> lock(mutex_);
  --sessions_;
  const auto it = sessions_by_share_.find(ShareOf(facts.remote));
  if (it != sessions_by_share_.end() && --it->second == 0) sessions_by_share_.erase(it);
}

rt::Task<std::string> MailGate::ReverseName(rt::Executor& loop, IpAddress address) {
  if (address.IsLoopback()) co_return "localhost";
  const Instant deadline = loop.Now() + limits_.reverse_name_timeout;
  std::string name = co_await FindReverseName(resolver_, &loop, address, deadline);
  co_return name;
}

rt::Task<bool> MailGate::ReverseNameLeadsBack(rt::Executor& loop, std::string name,
                                              IpAddress address) {
  if (address.IsLoopback()) co_return true;
  const Instant deadline = loop.Now() + limits_.reverse_name_timeout;
  const bool leads = co_await LeadsBack(resolver_, &loop, std::move(name), address, deadline);
  co_return leads;
}

std::unique_ptr<service::SessionFilter> MailGate::NewFilter(rt::Executor& loop,
                                                            const SmtpSessionFacts& facts) {
  const FilterPlace place{.world = world_,
                          .programs = programs_,
                          .milters = &milter_rests_,
                          .hooks = hooks_,
                          .spool = limits_.filter_spool,
                          .log = log_};
  return MakeSessionFilter(&loop, ListenerSlot::ViewOf(facts.listener->origin), facts, place);
}

rt::Task<StatusOr<std::optional<std::string>>> MailGate::Authenticate(rt::Executor& loop,
                                                                      const SmtpSessionFacts& facts,
                                                                      std::string user,
                                                                      std::string password) {
  sasl::Credentials credentials;
  credentials.authentication_id = std::move(user);
  credentials.password = std::move(password);
  StatusOr<std::optional<std::string>> login =
      co_await AuthenticateBy(loop, facts, sasl::Mechanism::kPlain, std::move(credentials), false);
  co_return login;
}

rt::Task<StatusOr<std::optional<std::string>>> MailGate::AuthenticateBy(
    rt::Executor& loop, const SmtpSessionFacts& facts, sasl::Mechanism mechanism,
    sasl::Credentials credentials, bool proven) {
  LoginPlace place = PlaceOf(loop, facts, runtimes_);
  StatusOr<std::optional<std::string>> login =
      co_await logins_->Judge(std::move(place), mechanism, std::move(credentials), proven);
  co_return login;
}

rt::Task<StatusOr<sasl::ScramSecret>> MailGate::ScramSecretOf(rt::Executor& loop,
                                                              const SmtpSessionFacts& facts,
                                                              sasl::Mechanism mechanism,
                                                              std::string user) {
  LoginPlace place = PlaceOf(loop, facts, runtimes_);
  StatusOr<sasl::ScramSecret> secret =
      co_await logins_->SecretOf(std::move(place), mechanism, std::move(user));
  co_return secret;
}

rt::Task<std::string> MailGate::HostName(rt::Executor& loop, const SmtpSessionFacts& facts) {
  const ListenerSlot::View view = ListenerSlot::ViewOf(facts.listener->origin);
  const policy::Listener* line = view.listener();
  if (line == nullptr || line->hostnames == policy::kNoIndex) co_return std::string();
  policy::Table* table = view.runtime->tables().Get(line->hostnames);
  const std::string key = facts.local.address.ToString();
  StatusOr<std::optional<std::string>> name =
      co_await LookUp(&loop, table, policy::Service::kAddrname, key);
  // Without a name of its own the address has the listener's.
  if (name.ok() && !name->has_value()) co_return std::string();
  if (name.ok() && mail::IsValidDomainName(**name)) co_return std::move(**name);
  log_->Write(
      LogRecord{.level = LogLevel::kWarning,
                .subsystem = "smtp",
                .session = facts.id,
                .event = "hostnames-failed",
                .fields = {{"address", key},
                           {"reason", name.ok() ? StrCat("no host name: ", Escape(**name, 80))
                                                : std::string(Message(name.status()))}}});
  co_return std::string();
}

rt::Task<std::optional<mail::Reply>> MailGate::CheckSender(rt::Executor& loop,
                                                           const SmtpSessionFacts& facts,
                                                           const mail::ReversePath& sender) {
  const ListenerSlot::View view = ListenerSlot::ViewOf(facts.listener->origin);
  const policy::Listener* line = view.listener();
  if (facts.auth_user.empty()) co_return std::optional<mail::Reply>();
  if (line == nullptr || line->senders == policy::kNoIndex) {
    const policy::SendersRule rule =
        line == nullptr ? policy::SendersRule::kNotOthers : line->senders_rule;
    std::optional<mail::Reply> refusal =
        co_await CheckOwnSender(loop, view.runtime, rule, facts, sender.address);
    co_return refusal;
  }
  policy::Table* table = view.runtime->tables().Get(line->senders);
  StatusOr<std::optional<std::string>> found =
      co_await LookUp(&loop, table, policy::Service::kMailaddrmap, facts.auth_user);
  if (!found.ok()) {
    log_->Write(LogRecord{.level = LogLevel::kWarning,
                          .subsystem = "smtp",
                          .session = facts.id,
                          .event = "senders-failed",
                          .fields = {{"reason", std::string(Message(found.status()))}}});
    co_return mail::Reply(451, {4, 3, 0}, "Temporary failure");
  }
  const char delimiter = view.runtime->config().smtp.sub_address_delimiter;
  if (found->has_value() && MaySendAs(sender.address, **found, delimiter))
    co_return std::optional<mail::Reply>();
  co_return mail::Reply(530, {5, 7, 1}, "Sender rejected");
}

rt::Task<std::optional<mail::Reply>> MailGate::CheckOwnSender(
    rt::Executor& loop, std::shared_ptr<const Runtime> runtime, policy::SendersRule rule,
    const SmtpSessionFacts& facts, const mail::Address& sender) {
  // Reports (RFC 8098 §3.2 among them) have no sender, and are nobody's.
  if (rule == policy::SendersRule::kAny || sender.empty()) co_return std::optional<mail::Reply>();
  if (runtime == nullptr) runtime = runtimes_->Get();
  mail::Address address = sender;
  if (address.domain.empty()) address.domain = runtime->server_name();
  if (IsLogin(*runtime, facts.auth_user, address)) co_return std::optional<mail::Reply>();
  // The accounts and tables behind an address may be on the disk, or with a program.
  const auto work = [&] {
    return OwnerOf(*runtime, accounts_, targets_, facts.auth_user, address);
  };
  StatusOr<SenderOwner> owner = Unavailable("not looked up");
  if (runtime->tables().Blocks()) {
    auto ask = loop.RunOutside(work);
    owner = co_await ask;
  } else {
    auto ask = loop.RunBlocking(work);
    owner = co_await ask;
  }
  if (!owner.ok()) {
    log_->Write(LogRecord{.level = LogLevel::kWarning,
                          .subsystem = "smtp",
                          .session = facts.id,
                          .event = "senders-failed",
                          .fields = {{"reason", std::string(Message(owner.status()))}}});
    co_return mail::Reply(451, {4, 3, 0}, "Temporary failure");
  }
  if (*owner == SenderOwner::kLogin ||
      (*owner == SenderOwner::kElsewhere && rule == policy::SendersRule::kNotOthers)) {
    co_return std::optional<mail::Reply>();
  }
  co_return mail::Reply(553, {5, 7, 1}, "Sender rejected: the address is not yours");
}

rt::Task<service::RecipientVerdict> MailGate::CheckRecipient(rt::Executor& loop,
                                                             const SmtpSessionFacts& facts,
                                                             const mail::ReversePath& sender,
                                                             const mail::ForwardPath& recipient) {
  auto ticket = std::make_shared<Ticket>();
  ticket->runtime = runtimes_->Get();
  mail::Address address = recipient.address;
  // RFC 5321 §4.1.1.3: "postmaster" may come without a domain; it is ours.
  if (address.domain.empty()) address.domain = ticket->runtime->server_name();
  policy::EnvelopeContext context = ContextOf(facts, sender.address, address);
  context.day = DayOf(clock_->WallNow());
  const Runtime& runtime = *ticket->runtime;
  // Most recipients need nothing but memory: the trip to the pool would cost more than the answer.
  // Some need an account or a .forward from the disk. Only who needs a table that asks somebody
  // else waits among those that wait for him.
  store::RecentAccounts::FromMemory memory(&recent_accounts_);
  const uint64_t misses = runtime.table_misses();
  ticket->expansion = policy::Expand(runtime.memory_ruleset(), memory, context, limits_.expansion);
  if (memory.missed() && runtime.table_misses() == misses) {
    auto expand = loop.RunBlocking([&] {
      return policy::Expand(runtime.memory_ruleset(), recent_accounts_, context, limits_.expansion);
    });
    ticket->expansion = co_await expand;
  }
  if (runtime.table_misses() != misses) {
    auto expand = loop.RunOutside([&] {
      return policy::Expand(runtime.ruleset(), recent_accounts_, context, limits_.expansion);
    });
    ticket->expansion = co_await expand;
  }

  for (const std::string& note : ticket->expansion.notes) {
    log_->Write({LogLevel::kWarning,
                 "smtp",
                 facts.id,
                 "expansion",
                 {{"rcpt", StrCat("<", context.recipient.ToString(), ">")}, {"note", note}}});
  }
  service::RecipientVerdict verdict;
  verdict.refusal = ticket->expansion.refusal;
  verdict.reason = ticket->expansion.reason;
  verdict.envelopes = ticket->expansion.destinations.size();
  verdict.ticket = std::move(ticket);
  co_return verdict;
}

const policy::Expansion& MailGate::ExpansionOf(const std::shared_ptr<const void>& ticket) {
  return static_cast<const Ticket*>(ticket.get())->expansion;
}

rt::Task<StatusOr<std::unique_ptr<service::IncomingMessage>>> MailGate::NewMessage(
    rt::Executor& loop, const SmtpSessionFacts&, const mail::ReversePath&) {
  StatusOr<std::unique_ptr<store::MessageWriter>> writer = queue_->NewMessage(loop);
  if (!writer.ok()) co_return writer.status();
  std::unique_ptr<service::IncomingMessage> message =
      std::make_unique<QueuedMessage>(std::move(*writer), hooks_, log_);
  co_return message;
}

std::vector<queue::Envelope> EnvelopesFor(const Runtime& runtime, const SmtpSessionFacts& facts,
                                          const mail::ReversePath& sender,
                                          const mail::ForwardPath& recipient,
                                          const policy::Expansion& expansion) {
  std::vector<queue::Envelope> envelopes;
  for (const Destination& destination : expansion.destinations) {
    const policy::Action& action =
        runtime.config().actions[static_cast<size_t>(destination.action)];
    queue::Envelope envelope;
    envelope.sender = sender;
    envelope.recipient = destination.recipient;
    envelope.destination = destination.destination;
    envelope.dsn_notify = recipient.dsn_notify;
    envelope.dsn_original_recipient = recipient.dsn_original_recipient;
    envelope.action = action.name;
    envelope.kind = destination.kind == Destination::Kind::kRelay ? queue::Envelope::Kind::kRelay
                                                                  : queue::Envelope::Kind::kLocal;
    if (destination.kind == Destination::Kind::kFile)
      envelope.local_kind = queue::Envelope::LocalKind::kFile;
    if (destination.kind == Destination::Kind::kCommand)
      envelope.local_kind = queue::Envelope::LocalKind::kCommand;
    envelope.user = destination.user;
    envelope.sub_address = destination.sub_address;
    envelope.path_or_command = destination.path_or_command;
    envelope.run_as_daemon = destination.run_as_daemon;

    envelope.session = facts.id;
    envelope.helo = facts.helo;
    envelope.client_name = facts.reverse_name.empty() ? "<unknown>" : facts.reverse_name;
    envelope.client = facts.remote;
    envelope.username = facts.auth_user;
    // On the local socket the system says who it is; nobody logs in there.
    if (facts.auth_user.empty() && facts.peer_uid.has_value())
      envelope.username = StrCat("uid ", *facts.peer_uid);
    envelope.tag = facts.listener->tag;
    envelope.server_name = facts.listener->options->hostname;
    envelope.authenticated = !facts.auth_user.empty() || facts.listener->is_local_socket;
    envelope.ttl = action.ttl.value_or(runtime.config().queue.ttl);
    envelopes.push_back(std::move(envelope));
  }
  return envelopes;
}

}  // namespace postern::server
