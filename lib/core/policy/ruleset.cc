#include "lib/core/policy/ruleset.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// The words under which tables know the local socket.
constexpr std::string_view kLocalKey = "local";

std::optional<IpAddress> LiteralOf(std::string_view domain) {
  if (domain.size() < 2 || domain.front() != '[' || domain.back() != ']') return std::nullopt;
  domain = domain.substr(1, domain.size() - 2);
  if (StartsWithIgnoreCase(domain, "ipv6:")) domain.remove_prefix(5);
  return IpAddress::Parse(domain);
}

// Addresses are compared as they stand, without the quotes that SMTP may need.
std::string PlainText(const mail::Address& address) {
  if (address.empty()) return "";
  return address.domain.empty() ? address.local_part
                                : StrCat(address.local_part, "@", address.domain);
}

// The local socket is this machine, which has a name: its mail and the notices we make are not what
// `!from rdns` is written against.
constexpr std::string_view kLocalName = "localhost";

// SourceKey is what `from src` asks for.
std::string SourceKey(const EnvelopeContext& c) {
  return c.is_internal || c.is_local_socket ? std::string(kLocalKey) : c.remote.ToString();
}

StatusOr<bool> Ask(const TableSet& tables, const Criterion& criterion, Service service,
                   std::string_view key) {
  Table* table = tables.Get(criterion.table);
  if (table == nullptr) return Unavailable("the table is not loaded");
  StatusOr<bool> found = table->Match(criterion.regex ? Service::kRegex : service, key);
  if (!found.ok()) return found.status();
  return *found != criterion.negated;
}

// AskSource asks for the client's address. Expressions may be written for an address of IPv6 as it
// is or, as smtpd shows it to them, in brackets.
StatusOr<bool> AskSource(const TableSet& tables, const Criterion& criterion,
                         const EnvelopeContext& c) {
  const std::string key = SourceKey(c);
  const StatusOr<bool> holds = Ask(tables, criterion, Service::kNetaddr, key);
  if (!holds.ok() || !criterion.regex || key.find(':') == std::string::npos) return holds;
  // One that matches is enough, for the negation too.
  if (*holds == criterion.negated)
    return Ask(tables, criterion, Service::kNetaddr, StrCat("[", key, "]"));
  return holds;
}

}  // namespace

Ruleset::Ruleset(const Config* config, const TableSet* tables, LocalNames local)
    : config_(config), tables_(tables), local_(std::move(local)), index_(*config, *tables) {}

bool Ruleset::IsLocalClient(const EnvelopeContext& context) const {
  if (context.is_internal || context.is_local_socket || context.remote.IsLoopback()) return true;
  return std::find(local_.addresses.begin(), local_.addresses.end(), context.remote) !=
         local_.addresses.end();
}

bool Ruleset::IsLocalDomain(std::string_view domain) const {
  if (EqualsIgnoreCase(domain, "localhost") || EqualsIgnoreCase(domain, local_.server_name))
    return true;
  const std::optional<IpAddress> literal = LiteralOf(domain);
  if (!literal) return false;
  return literal->IsLoopback() || std::find(local_.addresses.begin(), local_.addresses.end(),
                                            *literal) != local_.addresses.end();
}

StatusOr<std::string_view> Ruleset::FirstFailure(const Rule& rule, const EnvelopeContext& c) const {
  // --- from ---
  bool holds = true;
  StatusOr<bool> asked = true;
  switch (rule.from_kind) {
    case FromKind::kAny: holds = !rule.from.negated; break;
    case FromKind::kLocal: holds = IsLocalClient(c) != rule.from.negated; break;
    case FromKind::kSocket:
      // What expansion produced came in by no socket; not even the negation takes it.
      holds = !c.is_internal && c.is_local_socket != rule.from.negated;
      break;
    case FromKind::kSource:
      asked = AskSource(*tables_, rule.from, c);
      if (!asked.ok()) return asked.status();
      holds = *asked;
      break;
    case FromKind::kRdns: {
      const std::string_view name =
          c.is_local_socket ? kLocalName : std::string_view(c.reverse_name);
      if (rule.from.table == kNoIndex) {
        holds = !c.is_internal && !name.empty() != rule.from.negated;
      } else if (!c.is_internal && name.empty()) {
        holds = rule.from.negated;
      } else {
        asked = Ask(*tables_, rule.from, Service::kDomain, c.is_internal ? kLocalKey : name);
        if (!asked.ok()) return asked.status();
        holds = *asked;
      }
      break;
    }
  }
  if (!holds) return "from";

  // --- for ---
  switch (rule.for_kind) {
    case ForKind::kAny: holds = !rule.to.negated; break;
    case ForKind::kLocal: holds = IsLocalDomain(c.recipient.domain) != rule.to.negated; break;
    case ForKind::kDomain:
      asked = Ask(*tables_, rule.to, Service::kDomain, c.recipient.domain);
      if (!asked.ok()) return asked.status();
      holds = *asked;
      break;
  }
  if (!holds) return "for";

  // --- the transaction ---
  if (rule.auth.present) {
    const bool authenticated = c.authenticated || c.is_local_socket;
    if (rule.auth.table == kNoIndex || !authenticated) {
      holds = authenticated != rule.auth.negated;
    } else {
      const bool is_address = c.auth_user.find('@') != std::string::npos;
      asked =
          Ask(*tables_, rule.auth, is_address ? Service::kMailaddr : Service::kString, c.auth_user);
      if (!asked.ok()) return asked.status();
      holds = *asked;
    }
    if (!holds) return "auth";
  }
  const auto check = [&](const char* word, const Criterion& criterion, Service service,
                         std::string_view key) -> StatusOr<std::string_view> {
    if (!criterion.present) return std::string_view();
    const StatusOr<bool> found = Ask(*tables_, criterion, service, key);
    if (!found.ok()) return found.status();
    return *found ? std::string_view() : std::string_view(word);
  };
  StatusOr<std::string_view> word = check("tag", rule.tag, Service::kString, c.tag);
  if (!word.ok() || !word->empty()) return word;
  word = check("helo", rule.helo, Service::kDomain, c.helo);
  if (!word.ok() || !word->empty()) return word;
  if (rule.tls.present && c.tls == rule.tls.negated) return "tls";
  word = check("mail-from", rule.mail_from, Service::kMailaddr,
               rule.mail_from.present ? PlainText(c.sender) : "");
  if (!word.ok() || !word->empty()) return word;
  return check("rcpt-to", rule.rcpt_to, Service::kMailaddr,
               rule.rcpt_to.present ? PlainText(c.recipient) : "");
}

bool Ruleset::Test(size_t index, const EnvelopeContext& context, RuleMatch* match,
                   std::vector<RuleStep>* steps) const {
  const Rule& rule = config_->rules[index];
  const StatusOr<std::string_view> failure = FirstFailure(rule, context);
  if (steps != nullptr) {
    steps->push_back({.rule = static_cast<int>(index),
                      .failed = failure.ok() ? *failure : std::string_view(),
                      .error = failure.ok() ? "" : std::string(Message(failure.status()))});
  }
  if (failure.ok() && !failure->empty()) return false;
  match->rule = &rule;
  match->rule_index = static_cast<int>(index);
  if (!failure.ok()) {
    match->outcome = RuleMatch::Outcome::kTemporary;
    match->error = StrCat(rule.location.ToString(), ": ", Escape(Message(failure.status())));
  } else {
    match->outcome = rule.IsReject() ? RuleMatch::Outcome::kReject : RuleMatch::Outcome::kAccept;
  }
  return true;
}

RuleMatch Ruleset::Match(const EnvelopeContext& context, std::vector<RuleStep>* steps) const {
  // Who asks why wants every rule, also those that the index leaves out.
  if (steps != nullptr || !index_.worthwhile()) return MatchByWalk(context, steps);
  RuleFacts facts;
  const auto fact = [&facts](RuleAspect aspect) -> std::string& {
    return facts[static_cast<size_t>(aspect)];
  };
  fact(RuleAspect::kFor) = AsciiLower(context.recipient.domain);
  fact(RuleAspect::kFrom) = AsciiLower(SourceKey(context));
  fact(RuleAspect::kTag) = AsciiLower(context.tag);
  fact(RuleAspect::kHelo) = AsciiLower(context.helo);
  fact(RuleAspect::kMailFrom) = AsciiLower(PlainText(context.sender));
  fact(RuleAspect::kRcptTo) = AsciiLower(PlainText(context.recipient));
  RuleIndex::Candidates candidates(&index_, &facts);
  RuleMatch match;
  for (int rule = candidates.Next(); rule != kNoIndex; rule = candidates.Next()) {
    if (Test(static_cast<size_t>(rule), context, &match)) break;
  }
  return match;
}

RuleMatch Ruleset::MatchByWalk(const EnvelopeContext& context, std::vector<RuleStep>* steps) const {
  RuleMatch match;
  for (size_t i = 0; i < config_->rules.size(); ++i) {
    if (Test(i, context, &match, steps)) break;
  }
  return match;
}

}  // namespace postern::policy
