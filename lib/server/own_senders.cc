#include "lib/server/own_senders.h"

#include <algorithm>
#include <set>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/server/mail_gate.h"

namespace postern::server {
namespace {

// Places is where mail for an address ends on this machine.
struct Places {
  bool ours = false;  // the rules deliver mail of this domain here, to this address or others
  std::set<std::string> names;
};

StatusOr<Places> PlacesOf(const Runtime& runtime, policy::AccountSource& accounts,
                          LocalTargets& targets, const std::string& user,
                          const mail::Address& address) {
  const policy::EnvelopeContext context = OwnMailContext(user, address);
  Places places;
  const policy::RuleMatch match = runtime.ruleset().Match(context);
  if (match.outcome == policy::RuleMatch::Outcome::kAccept) {
    const policy::Action& action =
        runtime.config().actions[static_cast<size_t>(match.rule->action)];
    places.ours = action.IsLocal();
  }
  if (!places.ours) return places;
  const policy::Expansion expansion = policy::Expand(runtime.ruleset(), accounts, context);
  if (expansion.refusal.has_value() && expansion.refusal->IsTransient())
    return Unavailable(expansion.reason);
  service::SmtpSessionFacts facts;
  auto listener = std::make_shared<service::SmtpListener>();
  listener->options = std::make_shared<smtp::ServerOptions>();
  facts.listener = std::move(listener);
  mail::ForwardPath recipient;
  recipient.address = address;
  for (const queue::Envelope& envelope :
       EnvelopesFor(runtime, facts, mail::ReversePath(), recipient, expansion)) {
    if (envelope.kind != queue::Envelope::Kind::kLocal) continue;
    const StatusOr<deliver::LocalTarget> target = targets.ResolveTarget(envelope);
    if (!target.ok()) continue;
    switch (target->kind) {
      case deliver::LocalTarget::Kind::kMaildir:
      case deliver::LocalTarget::Kind::kMbox:
        places.names.insert(StrCat("file ", target->path));
        break;
      case deliver::LocalTarget::Kind::kNowhere: break;
      case deliver::LocalTarget::Kind::kProgram:
      case deliver::LocalTarget::Kind::kLmtp:
        // One program or server may serve all of them: the account and the address tell them apart.
        places.names.insert(
            StrCat("user ", target->user, " ", AsciiLower(envelope.destination.ToString())));
        break;
    }
  }
  return places;
}

// WithoutSubAddress drops what follows the delimiter.
mail::Address WithoutSubAddress(mail::Address address, char delimiter) {
  const size_t at = address.local_part.find(delimiter);
  if (at != std::string::npos && at > 0) address.local_part.resize(at);
  return address;
}

}  // namespace

bool IsLogin(const Runtime& runtime, const std::string& user, const mail::Address& sender) {
  const char delimiter = runtime.config().smtp.sub_address_delimiter;
  const std::string login = AsciiLower(user);
  const std::string full = login.find('@') == std::string::npos
                               ? StrCat(login, "@", AsciiLower(runtime.server_name()))
                               : login;
  return AsciiLower(sender.ToString()) == full ||
         AsciiLower(WithoutSubAddress(sender, delimiter).ToString()) == full;
}

policy::EnvelopeContext OwnMailContext(const std::string& user, mail::Address address) {
  policy::EnvelopeContext context;
  context.is_local_socket = true;
  context.authenticated = true;
  context.auth_user = user;
  context.helo = "localhost";
  context.tls = true;
  context.recipient = std::move(address);
  return context;
}

StatusOr<SenderOwner> OwnerOf(const Runtime& runtime, policy::AccountSource& accounts,
                              LocalTargets& targets, const std::string& user,
                              const mail::Address& sender) {
  if (IsLogin(runtime, user, sender)) return SenderOwner::kLogin;
  const char delimiter = runtime.config().smtp.sub_address_delimiter;
  const mail::Address address = WithoutSubAddress(sender, delimiter);
  const StatusOr<Places> theirs = PlacesOf(runtime, accounts, targets, user, address);
  if (!theirs.ok()) return theirs.status();
  if (!theirs->ours) return SenderOwner::kElsewhere;

  mail::AddressOptions options;
  options.allow_no_domain = true;
  StatusOr<mail::Address> own = mail::ParseAddress(user, options);
  if (!own.ok()) return SenderOwner::kAnother;
  const bool bare = own->domain.empty();
  // A login without a domain has its name at each of our domains, unless somebody else has it.
  if (bare && theirs->names.empty() && EqualsIgnoreCase(address.local_part, own->local_part))
    return SenderOwner::kLogin;
  if (bare) own->domain = runtime.server_name();
  const StatusOr<Places> mine = PlacesOf(runtime, accounts, targets, user, *own);
  if (!mine.ok()) return mine.status();
  const bool shared =
      std::any_of(theirs->names.begin(), theirs->names.end(),
                  [&](const std::string& name) { return mine->names.count(name) > 0; });
  return shared ? SenderOwner::kLogin : SenderOwner::kAnother;
}

}  // namespace postern::server
