#include "lib/service/relay/relay_deliverer.h"

#include <algorithm>
#include <new>
#include <set>

#include "lib/core/queue/bounce.h"
#include "lib/service/relay/carriage.h"
#include "lib/service/relay/made_reply.h"

namespace postern::relay {
namespace {

using schedule::DeliveryResult;

constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);

// KeyOf names what connections may be shared for: the same route, spoken in the same way, to a
// server that the other settings would have led to as well. A backup's mail must not go by the
// session of a rule that is none: that may be with an exchanger worse than the backup, which sends
// it back.
std::string KeyOf(const RelaySettings& settings) {
  const queue::RelayRoute& route = settings.route;
  const RelayLimits& limits = settings.limits;
  std::string key =
      StrCat(route.by_mx ? "mx " : "host ", route.host, " ", route.port, " ", route.socket_path,
             " ", static_cast<int>(route.tls), route.verify ? "v" : "-", route.lmtp ? "l" : "-",
             " ", settings.source ? settings.source->ToString() : "-", " ", settings.helo_name, " ",
             settings.auth_user, " ", settings.shared_as);
  // Which of the exchangers, and of their addresses, were open to it.
  StrAppend(key, " b", settings.backup_mx, " ", static_cast<int>(limits.family));
  if (route.by_mx) {
    for (const std::string& name : settings.own_names) StrAppend(key, " ", name);
  }
  // A server that is named carries mail for domains whose `mta limit` may differ.
  StrAppend(key, " ", limits.session_mail_max, " ",
            limits.session_transaction_delay / absl::Milliseconds(1));
  return key;
}

// SpeaksForUs tells whether an exchanger that says `name` in reply to EHLO is this server.
bool SpeaksForUs(const RelaySettings& settings, std::string_view name) {
  return settings.route.by_mx &&
         std::any_of(settings.own_names.begin(), settings.own_names.end(),
                     [name](const std::string& own) { return EqualsIgnoreCase(own, name); });
}

}  // namespace

RelayDeliverer::RelayDeliverer(rt::World& world, store::Queue& queue, resolve::Resolver& resolver,
                               RouteSource& routes, LogSink& log, RelayOptions options)
    : world_(world),
      loop_(world.main_loop()),
      queue_(queue),
      resolver_(resolver),
      routes_(routes),
      log_(log),
      options_(std::move(options)),
      max_batches_(options_.max_batches),
      freed_(&loop_) {
  stop_timer_.owner = this;
}

RelayDeliverer::~RelayDeliverer() {
  for (Idle& idle : idle_) loop_.Disarm(&idle);
  // While what they give back their places to is still there.
  idle_.clear();
  unrecorded_.clear();
  loop_.Disarm(&stop_timer_);
}

rt::Task<std::vector<DeliveryResult>> RelayDeliverer::Carry(
    std::vector<queue::Envelope> batch, std::shared_ptr<const RelaySettings> shared,
    smtp::OutgoingMessage message, std::shared_ptr<const store::Body> body,
    queue::EnvelopeId first_of_batch) {
  std::vector<DeliveryResult> results;
  std::string key = KeyOf(*shared);
  for (int attempt = 0;; ++attempt) {
    std::unique_ptr<Connection> connection = TakeIdle(key);
    const bool reused = connection != nullptr;
    if (!reused) {
      Failure failure;
      const std::string session = Hex(world_.random().Next(), 16);
      connection = co_await OpenAny(shared, key, session, &failure);
      if (connection == nullptr && shared->other_hosts && !failure.at_limit) {
        const queue::Envelope first = batch.front();
        connection = co_await OpenOther(first, &shared, &key, session, &failure);
      }
      if (connection == nullptr) co_return ResultsOf(batch, failure);
    }
    if (connection->messages() > 0) co_await Pause(connection.get());
    std::optional<Active> active(std::in_place, &active_, connection.get());
    smtp::OutgoingMessage copy = message;
    std::shared_ptr<const store::Body> text = body;
    const std::optional<message::Carriage> carriage = CarriageFor(connection->offer(), copy);
    if (carriage.has_value()) {
      StatusOr<schedule::CarriedBody> carried = co_await loop_.RunBlocking(
          [&text, &carriage] { return schedule::CarryBody(text, *carriage); });
      if (!carried.ok()) {
        active.reset();
        const bool never = carried.status().code() == StatusCode::kFailedPrecondition;
        const mail::Reply reply =
            never ? CannotConvert(connection->target().host, *carriage, carried.status())
                  : Made(451, 3, 0, std::string(Message(carried.status())));
        KeepIdle(Waiting(key, std::move(connection)));
        co_return SameFate(batch, reply);
      }
      text = carried->body;
      TakeCarried(connection->offer(), *carried, &copy);
    }
    const std::vector<smtp::RecipientResult> fates =
        co_await connection->Send(std::move(copy), *text);
    active.reset();
    // A connection that had waited may be gone: when it died before a single answer, nothing was
    // sent that could count.
    bool untouched = reused && !connection->usable() && attempt == 0;
    for (const smtp::RecipientResult& fate : fates) {
      untouched = untouched && !fate.from_server && fate.stage == smtp::ClientStage::kMail;
    }
    if (untouched && !stopping_) {
      Retire(std::move(connection));
      continue;
    }
    // What was sent cannot be taken back: without memory to say what became of it, it waits for
    // some, or it would be sent again.
    for (bool told = false; !told;) {
      try {
        results = ResultsOf(batch, fates, *connection);
        told = true;
      } catch (const std::bad_alloc&) {
        if (stopping_) throw;
      }
      rt::Event never(&loop_);
      const Instant again = loop_.Now() + kPauseWithoutMemory;
      if (!told) (void)co_await never.Wait(again);
    }
    for (const smtp::RecipientResult& fate : fates) {
      if (fate.from_server && !fate.reply.IsPositive()) connection->CountFailure();
    }
    try {
      unrecorded_[first_of_batch] = Waiting(key, std::move(connection));
    } catch (const std::bad_alloc&) {
      // It is closed, and the next message opens another.
    }
    co_return results;
  }
}

std::vector<DeliveryResult> RelayDeliverer::ResultsOf(
    const std::vector<queue::Envelope>& batch, const std::vector<smtp::RecipientResult>& fates,
    const Connection& connection) {
  std::vector<DeliveryResult> results;
  for (size_t i = 0; i < batch.size(); ++i) {
    const smtp::RecipientResult& fate = fates[i];
    DeliveryResult result;
    result.id = batch[i].id;
    result.outcome = OutcomeForReply(queue::OutcomeOf(fate.reply, fate.from_server));
    result.text = fate.reply.ToString();
    result.status = fate.reply.status;
    result.remote_host = connection.target().host;
    result.remote_address = connection.target().Name();
    result.source_address = connection.local_address();
    if (fate.from_server) result.reply = fate.reply.ToString();
    result.remote_reports_dsn = connection.offer().dsn;
    results.push_back(std::move(result));
  }
  return results;
}

// OpenOther asks for the route again, as an action with a table of hosts or of source addresses
// names another one each time: a host that is down, and an address that cannot be bound, delays no
// mail that another one takes.
rt::Task<std::unique_ptr<Connection>> RelayDeliverer::OpenOther(
    queue::Envelope envelope, std::shared_ptr<const RelaySettings>* settings, std::string* key,
    std::string session, Failure* failure) {
  std::set<std::string> tried = {*key};
  for (size_t i = 0; i < options_.max_other_hosts && !stopping_; ++i) {
    StatusOr<RelaySettings> other =
        co_await loop_.RunOutside([this, &envelope] { return routes_.RouteFor(envelope); });
    if (!other.ok()) continue;  // the next of the table may be better
    std::string other_key = KeyOf(*other);
    if (!tried.insert(other_key).second) continue;
    auto shared = std::make_shared<const RelaySettings>(*std::move(other));
    Failure of_other;
    std::unique_ptr<Connection> connection = TakeIdle(other_key);
    if (connection == nullptr) connection = co_await OpenAny(shared, other_key, session, &of_other);
    if (connection != nullptr) {
      *settings = std::move(shared);
      *key = std::move(other_key);
      co_return connection;
    }
    // What one of them met with now says more than that another was left alone.
    if (!failure->held_back.empty()) *failure = std::move(of_other);
    if (of_other.at_limit) break;
  }
  co_return nullptr;
}

rt::Task<std::unique_ptr<Connection>> RelayDeliverer::OpenAny(
    std::shared_ptr<const RelaySettings> settings, std::string key, std::string session,
    Failure* failure) {
  std::vector<queue::RelayTarget> targets = co_await FindTargets(*settings, &failure->reply);
  if (targets.empty()) co_return nullptr;
  const auto key_of = [&settings](const queue::RelayTarget& target) {
    return PenaltyKey{settings->source, target.Name(), settings->route.port};
  };
  Penalty cause;
  bool tried_better = false;
  const size_t found = targets.size();
  std::erase_if(targets, [this, &cause, &key_of](const queue::RelayTarget& target) {
    const Penalty* penalty = Blocked(key_of(target));
    if (penalty != nullptr) cause = *penalty;
    return penalty != nullptr;
  });
  if (targets.empty()) {
    failure->reply = std::move(cause.reason);
    failure->refusal = std::move(cause.refusal);
    failure->held_back = "All routes to destination blocked";
    co_return nullptr;
  }
  tried_better = targets.size() < found;
  queue::RelayPlan plan(settings->route.tls, std::move(targets));
  const Instant patience = loop_.Now() + options_.conn_wait;
  while (plan.current() != nullptr) {
    const queue::RelayTarget target = *plan.current();
    const std::vector<Share> shares = SharesOf(*settings, key, target);
    for (;;) {
      const Instant free = FreeAt(shares);
      if (free <= loop_.Now() || stopping_) break;
      // Somebody's connection may have become idle meanwhile.
      std::unique_ptr<Connection> idle = TakeIdle(key);
      if (idle != nullptr) co_return idle;
      if (free == Instant::Never()) MakeRoom(shares);
      (void)co_await freed_.Wait(std::min(free, patience));
      if (loop_.Now() >= patience && FreeAt(shares) > loop_.Now()) {
        failure->refusal = {};
        failure->held_back = "Too many connections to the destination";
        failure->at_limit = true;
        failure->reply = Made(451, 4, 5, failure->held_back);
        co_return nullptr;
      }
    }
    if (stopping_) {
      failure->refusal = {};
      failure->held_back = "The server is stopping";
      failure->at_limit = true;
      failure->reply = Made(451, 3, 0, failure->held_back);
      co_return nullptr;
    }
    auto connection = std::make_unique<Connection>(world_, loop_, log_, settings, target, session);
    TakePlace(connection.get(), shares);
    if (without_scram_.contains(key)) connection->WithoutScram();
    RememberConnection(shares);
    std::optional<Active> active(std::in_place, &active_, connection.get());
    const Instant deadline =
        loop_.Now() + settings->connect_timeout.value_or(options_.connect_timeout);
    const Opened opened = co_await connection->Open(plan.tls(), deadline);
    active.reset();
    if (opened.kind == Opened::Kind::kReady) {
      penalties_.erase(key_of(target));
      if (connection->scram_refused()) {
        if (without_scram_.size() >= options_.max_without_scram) without_scram_.clear();
        without_scram_.insert(key);
      }
      if (!SpeaksForUs(*settings, connection->offer().name)) co_return connection;
      // We are reached by an address that we do not know as ours. Servers behind this one would
      // send the mail here; those before it could not be reached, so that it waits for them.
      Retire(std::move(connection));
      failure->refusal = {};
      failure->reply = LoopReply(*settings);
      if (tried_better)
        failure->reply = Made(451, 4, 1, "No server that is preferred over ours can be reached");
      co_return nullptr;
    }
    tried_better = true;
    connection->Close();
    failure->refusal = {};
    if (opened.server_reply.has_value()) {
      failure->refusal = Refusal{target.host, target.Name(), opened.server_reply->ToString()};
    }
    if (opened.kind == Opened::Kind::kTlsFailed) {
      plan.OnTlsFailure(opened.reason);
    } else {
      NotReached(key_of(target), target.host, opened.reason, failure->refusal);
      plan.OnUnreachable(opened.reason);
    }
  }
  failure->reply = plan.failure();
  const Refusal& refusal = failure->refusal;
  if (!refusal.host.empty() && failure->reply.IsTransient() && refusal.reply.starts_with('5') &&
      failure->reply.ToString().find(schedule::AnswerMark(refusal.host)) == std::string::npos) {
    // It refused for good, others could not be asked: not the last word.
    failure->reply = Made(451, 4, 1,
                          StrCat("Other servers could not be reached, and",
                                 schedule::AnswerMark(refusal.host), refusal.reply));
  }
  co_return nullptr;
}

const RelayDeliverer::Penalty* RelayDeliverer::Blocked(const PenaltyKey& key) const {
  const auto it = penalties_.find(key);
  return it != penalties_.end() && loop_.Now() < it->second.until ? &it->second : nullptr;
}

std::vector<DeliveryResult> RelayDeliverer::ResultsOf(const std::vector<queue::Envelope>& batch,
                                                      const Failure& failure) {
  std::vector<DeliveryResult> results = SameFate(batch, failure.reply);
  if (!failure.refusal.host.empty()) {
    for (DeliveryResult& result : results) {
      result.remote_host = failure.refusal.host;
      result.remote_address = failure.refusal.address;
      result.reply = failure.refusal.reply;
      result.before_message = true;
    }
  }
  if (failure.held_back.empty()) return results;
  for (DeliveryResult& result : results) {
    // What one server said to others before a message was begun is not its word about this one.
    result.outcome = DeliveryResult::Outcome::kTemporary;
    if (result.status.klass != 4) result.status = mail::EnhancedStatus{4, 4, 1};
    result.held_back = failure.held_back;
  }
  return results;
}

void RelayDeliverer::NotReached(const PenaltyKey& key, const std::string& host,
                                const mail::Reply& reason, const Refusal& refusal) {
  if (penalties_.size() >= options_.max_penalties && !penalties_.contains(key))
    penalties_.erase(penalties_.begin());
  Penalty& penalty = penalties_[key];
  penalty.reason = reason;
  penalty.refusal = refusal;
  penalty.failed = loop_.Now();
  penalty.host = host;
  // Connections that fail together fail for one reason: they count once.
  if (loop_.Now() < penalty.until) return;
  penalty.failures = std::min(penalty.failures + 1, 1000);
  const Duration pause = std::min(options_.route_penalty * penalty.failures * penalty.failures,
                                  options_.route_penalty_max);
  penalty.until = loop_.Now() + pause;
}

}  // namespace postern::relay
