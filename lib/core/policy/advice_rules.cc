// Rules that take nothing, and rules that take what another one was written for.

#include <algorithm>
#include <set>
#include <unordered_map>

#include "lib/core/base/strings.h"
#include "lib/core/policy/advice.h"
#include "lib/core/policy/rule_cover.h"

namespace postern::policy {
namespace {

Diagnostic DeadRule(const Rule& rule, std::string message, std::string edit) {
  Diagnostic found = MakeWarning(rule.location, std::move(message));
  found.code = "never-matches";
  found.edit = std::move(edit);
  return found;
}

std::string ActionText(const Config& config, const Rule& rule) {
  if (rule.IsReject()) return "reject";
  return StrCat("action \"", Escape(config.actions[static_cast<size_t>(rule.action)].name, 80),
                "\"");
}

std::string PlaceText(const SourceLocation& at, const SourceLocation& from) {
  return at.file == from.file ? StrCat("line ", at.line) : at.ToString();
}

// SessionTags are the tags that a session here can have; that of a session by a listener without
// one, and of the local socket, which is always there, is "".
std::set<std::string> SessionTags(const Config& config) {
  std::set<std::string> tags{""};
  for (const Listener& listener : config.listeners) {
    if (listener.protocol == ListenerProtocol::kSmtp) tags.insert(listener.tag);
  }
  return tags;
}

// Impossible says what a rule asks for that no session here has; "" when there is nothing.
std::string Impossible(const Ruleset& ruleset, const Rule& rule, const std::set<std::string>& tags,
                       bool has_tls, std::string* edit) {
  const Config& config = ruleset.config();
  if (rule.from_kind == FromKind::kAny && rule.from.negated) {
    *edit = "remove the ! or the rule";
    return "this rule can never match: \"!from any\" is nobody";
  }
  if (rule.for_kind == ForKind::kAny && rule.to.negated) {
    *edit = "remove the ! or the rule";
    return "this rule can never match: \"!for any\" is nowhere";
  }
  if (rule.tls.present && !rule.tls.negated && !has_tls) {
    *edit = "give a listener tls, or take the word away";
    return "this rule can never match: it asks for TLS, and no listener has it";
  }
  if (!rule.tag.present || rule.tag.table == kNoIndex) return "";
  Table* table = ruleset.tables().Get(rule.tag.table);
  if (table == nullptr || table->Blocks()) return "";
  for (const std::string& tag : tags) {
    const StatusOr<bool> found =
        table->Match(rule.tag.regex ? Service::kRegex : Service::kString, tag);
    if (!found.ok() || *found != rule.tag.negated) return "";
  }
  const TableDeclaration& written = config.tables[static_cast<size_t>(rule.tag.table)];
  std::vector<std::string> known(tags.begin(), tags.end());
  known.erase(std::remove(known.begin(), known.end(), ""), known.end());
  const bool one = written.entries.size() == 1 && !rule.tag.negated && !rule.tag.regex;
  *edit = one ? StrCat("put it on a listener: listen on lo0 port 10028 tag \"",
                       Escape(written.entries[0].key, 40), "\"")
              : "give a listener such a tag, or remove the rule";
  return one ? StrCat("this rule can never match: no listener has the tag \"",
                      Escape(written.entries[0].key, 40), "\"",
                      Declared(written.entries[0].key, known))
             : "this rule can never match: no listener has such a tag";
}

// EarlierRules holds the rules so far so that those that may cover another one are found at once:
// one that is for a plain list of domains covers only rules for domains of that list.
class EarlierRules {
 public:
  EarlierRules(const Ruleset& ruleset, const AdviceLimits& limits)
      : ruleset_(ruleset), limits_(limits), pairs_(limits.max_rule_pairs) {}

  void Add(const Rule& rule) {
    const TableDeclaration* domains = Domains(rule);
    const bool plain =
        domains != nullptr && domains->entries.size() <= limits_.max_entries &&
        std::none_of(domains->entries.begin(), domains->entries.end(),
                     [](const TableEntry& e) { return e.key.find('*') != std::string::npos; });
    if (!plain) {
      broad_.push_back(&rule);
      return;
    }
    for (const TableEntry& entry : domains->entries) {
      std::vector<const Rule*>& rules = by_domain_[AsciiLower(entry.key)];
      if (rules.empty() || rules.back() != &rule) rules.push_back(&rule);
    }
  }

  // FindCover returns the first of them that takes all that `rule` takes; null when there is none,
  // or the bound is reached.
  const Rule* FindCover(const Rule& rule) {
    const Rule* found = FirstIn(broad_, rule);
    const TableDeclaration* domains = Domains(rule);
    if (domains == nullptr) return found;
    const auto listed = by_domain_.find(AsciiLower(domains->entries[0].key));
    if (listed == by_domain_.end()) return found;
    const Rule* other = FirstIn(listed->second, rule);
    // Rules stand in one vector: the lower address is the earlier one.
    return found == nullptr || (other != nullptr && other < found) ? other : found;
  }

 private:
  // Domains gives the list of `for domain` when it is written in the file; else null.
  const TableDeclaration* Domains(const Rule& rule) const {
    if (rule.for_kind != ForKind::kDomain || rule.to.negated || rule.to.regex) return nullptr;
    const TableDeclaration& table = ruleset_.config().tables[static_cast<size_t>(rule.to.table)];
    return table.kind == TableKind::kStatic && !table.entries.empty() ? &table : nullptr;
  }
  const Rule* FirstIn(const std::vector<const Rule*>& rules, const Rule& rule) {
    for (const Rule* each : rules) {
      if (pairs_ == 0) return nullptr;
      --pairs_;
      if (Covers(ruleset_, *each, rule, limits_.max_entries)) return each;
    }
    return nullptr;
  }

  const Ruleset& ruleset_;
  const AdviceLimits& limits_;
  size_t pairs_;
  std::vector<const Rule*> broad_;
  std::unordered_map<std::string, std::vector<const Rule*>> by_domain_;
};

}  // namespace

Diagnostics FindDeadRules(const Ruleset& ruleset, const AdviceLimits& limits) {
  const Config& config = ruleset.config();
  Diagnostics out;
  const std::set<std::string> tags = SessionTags(config);
  const bool has_tls =
      std::any_of(config.listeners.begin(), config.listeners.end(), [](const Listener& l) {
        return l.protocol == ListenerProtocol::kSmtp && l.tls != ListenerTls::kNone;
      });
  EarlierRules earlier(ruleset, limits);
  for (const Rule& rule : config.rules) {
    std::string edit;
    const std::string impossible = Impossible(ruleset, rule, tags, has_tls, &edit);
    if (!impossible.empty()) {
      out.push_back(DeadRule(rule, impossible, edit));
      continue;
    }
    const Rule* cover = earlier.FindCover(rule);
    if (cover == nullptr) {
      earlier.Add(rule);
      continue;
    }
    const Rule& first = *cover;
    const std::string place = PlaceText(first.location, rule.location);
    const bool same = first.action == rule.action;
    out.push_back(DeadRule(rule,
                           StrCat("this rule can never match: the rule at ", place,
                                  " comes first, takes all that it "
                                  "would take, and says ",
                                  ActionText(config, first)),
                           same ? "remove this line, which changes nothing"
                                : StrCat("move this line above ", place, ", or remove it")));
  }
  return out;
}

Diagnostics FindReturnedMail(const Ruleset& ruleset, const AdviceLimits& limits) {
  const Config& config = ruleset.config();
  Diagnostics out;
  size_t budget = ruleset.tables().Blocks() ? limits.max_slow_questions : limits.max_questions;
  for (const Rule& rule : config.rules) {
    if (!rule.tag.present || rule.tag.negated || rule.tag.table == kNoIndex ||
        rule.for_kind != ForKind::kDomain || rule.to.negated || rule.to.regex)
      continue;
    const TableDeclaration& domains = config.tables[static_cast<size_t>(rule.to.table)];
    if (domains.kind != TableKind::kStatic || domains.entries.size() > limits.max_entries) continue;
    bool told = false;
    for (const Listener& listener : config.listeners) {
      if (told || listener.tag.empty() || listener.is_socket || !IsLoopbackListener(listener))
        continue;
      for (const TableEntry& domain : domains.entries) {
        if (told || budget == 0) break;
        --budget;
        EnvelopeContext context;
        context.remote = IpAddress::V4(127, 0, 0, 1);
        context.reverse_name = "localhost";
        context.helo = "localhost";
        context.tag = listener.tag;
        context.sender = {"somebody", "stranger-q7x.net"};
        context.recipient = {"user", domain.key};
        const StatusOr<std::string_view> failure = ruleset.FirstFailure(rule, context);
        if (!failure.ok() || !failure->empty()) continue;
        const RuleMatch match = ruleset.Match(context);
        budget -= std::min(budget, config.rules.size());
        if (match.rule == nullptr || match.rule == &rule || match.rule->tag.present) continue;
        // The same action for both is no harm.
        if (match.rule->action == rule.action) continue;
        told = true;
        const std::string place = PlaceText(match.rule->location, rule.location);
        Diagnostic found = MakeWarning(
            rule.location,
            StrCat("mail for ", Escape(domain.key, 80), " that comes back by the listener at line ",
                   listener.location.line, " (tag \"", Escape(listener.tag, 40),
                   "\") never gets here: its client is on this machine, so the rule at ", place,
                   " takes it first (", ActionText(config, *match.rule), ")"));
        found.code = "returned-mail";
        found.edit = StrCat("move this line above ", place);
        out.push_back(std::move(found));
      }
    }
  }
  return out;
}

}  // namespace postern::policy
