// `match`: which envelopes take which action.

#include "lib/core/base/strings.h"
#include "lib/core/policy/parser.h"

namespace postern::policy {
namespace {

// A criterion of the transaction: its word, how its table is compared, whether it may stand without
// one.
struct CriterionRow {
  const char* word;
  Service service;
  TableForm needs;
  bool optional;
  Criterion Rule::*member;
};
constexpr CriterionRow kCriteria[] = {
    {"auth", Service::kString, TableForm::kUnknown, true, &Rule::auth},
    {"helo", Service::kDomain, TableForm::kList, false, &Rule::helo},
    {"mail-from", Service::kMailaddr, TableForm::kUnknown, false, &Rule::mail_from},
    {"rcpt-to", Service::kMailaddr, TableForm::kUnknown, false, &Rule::rcpt_to},
    {"tag", Service::kString, TableForm::kList, false, &Rule::tag},
};

const CriterionRow& RowOf(std::string_view word) {
  for (const CriterionRow& row : kCriteria) {
    if (word == row.word) return row;
  }
  return kCriteria[0];
}

}  // namespace

bool Parser::ParseMatch(const Token& first) {
  Rule rule;
  rule.location = first.location;
  std::set<std::string> seen;
  const std::vector<std::string> known = {"from",    "for", "auth", "helo",   "mail-from",
                                          "rcpt-to", "tag", "tls",  "action", "reject"};
  for (;;) {
    if (TakeBare("reject")) break;
    if (TakeBare("action")) {
      std::string name;
      SourceLocation at;
      if (!ExpectString("the name of an action", &name, &at)) return false;
      rule.action = config_.FindAction(name);
      if (rule.action != kNoIndex) break;
      std::vector<std::string> names;
      for (const Action& action : config_.actions) names.push_back(action.name);
      return NotDeclared("action", name, at,
                         StrCat("no such action: ", Escape(name, 80), Declared(name, names)));
    }
    const bool negated = TakeSymbol("!");
    const Token word = Peek();
    if (word.IsBare("from")) {
      Take();
      if (!Once(&seen, "from", "rule", word.location) || !ParseFrom(rule, negated, &seen, word))
        return false;
      continue;
    }
    if (word.IsBare("for")) {
      Take();
      if (!Once(&seen, "for", "rule", word.location) || !ParseFor(rule, negated, &seen, word))
        return false;
      continue;
    }
    if (word.IsBare("tls")) {
      Take();
      if (!Once(&seen, "tls", "rule", word.location)) return false;
      rule.tls.present = true;
      rule.tls.negated = negated;
      continue;
    }
    const CriterionRow* found = nullptr;
    for (const CriterionRow& row : kCriteria) {
      if (word.IsBare(row.word)) found = &row;
    }
    if (found == nullptr)
      return Unexpected(
          "a condition (from, for, auth, helo, mail-from, rcpt-to, tag or tls), action or reject",
          known);
    Take();
    if (!Once(&seen, found->word, "rule", word.location)) return false;
    Criterion& criterion = rule.*found->member;
    criterion.negated = negated;
    if (!ParseCriterion(found->word, found->service, found->needs, found->optional, &criterion))
      return false;
    // A login with @ is compared as a mail address, so the table must be ready for both.
    if (found->member == &Rule::auth && criterion.table != kNoIndex && !criterion.regex) {
      TableUse use;
      use.service = Service::kMailaddr;
      use.word = "auth";
      use.location = word.location;
      if (!UseTable(criterion.table, std::move(use))) return false;
    }
  }
  config_.rules.push_back(std::move(rule));
  return true;
}

bool Parser::ParseFrom(Rule& rule, bool negated, std::set<std::string>* seen, const Token&) {
  rule.from.present = true;
  rule.from.negated = negated;
  const Token word = Peek();
  if (TakeBare("any")) {
    rule.from_kind = FromKind::kAny;
    return true;
  }
  if (TakeBare("local")) {
    rule.from_kind = FromKind::kLocal;
    return true;
  }
  if (TakeBare("socket")) {
    rule.from_kind = FromKind::kSocket;
    return true;
  }
  if (TakeBare("src")) {
    rule.from_kind = FromKind::kSource;
    return ParseCriterion("from src", Service::kNetaddr, TableForm::kList, false, &rule.from);
  }
  if (TakeBare("rdns")) {
    rule.from_kind = FromKind::kRdns;
    return ParseCriterion("from rdns", Service::kDomain, TableForm::kList, true, &rule.from);
  }
  if (word.IsBare("auth") || word.IsBare("mail-from")) {
    Take();
    // Any address; the negation is that of the test.
    rule.from_kind = FromKind::kAny;
    rule.from.negated = false;
    if (!Once(seen, word.text, "rule", word.location)) return false;
    const CriterionRow& row = RowOf(word.text);
    Criterion& criterion = rule.*row.member;
    criterion.negated = negated;
    if (!ParseCriterion(row.word, row.service, row.needs, row.optional, &criterion)) return false;
    if (row.member == &Rule::auth && criterion.table != kNoIndex && !criterion.regex) {
      TableUse use;
      use.service = Service::kMailaddr;
      use.word = "auth";
      use.location = word.location;
      return UseTable(criterion.table, std::move(use));
    }
    return true;
  }
  return Unexpected("any, local, src, socket, rdns, auth or mail-from after from",
                    {"any", "local", "src", "socket", "rdns", "auth", "mail-from"});
}

bool Parser::ParseFor(Rule& rule, bool negated, std::set<std::string>* seen, const Token&) {
  rule.to.present = true;
  rule.to.negated = negated;
  const Token word = Peek();
  if (TakeBare("any")) {
    rule.for_kind = ForKind::kAny;
    return true;
  }
  if (TakeBare("local")) {
    rule.for_kind = ForKind::kLocal;
    return true;
  }
  if (TakeBare("domain")) {
    rule.for_kind = ForKind::kDomain;
    return ParseCriterion("for domain", Service::kDomain, TableForm::kList, false, &rule.to);
  }
  if (TakeBare("rcpt-to")) {
    rule.for_kind = ForKind::kAny;
    rule.to.negated = false;
    if (!Once(seen, "rcpt-to", "rule", word.location)) return false;
    rule.rcpt_to.negated = negated;
    const CriterionRow& row = RowOf("rcpt-to");
    return ParseCriterion(row.word, row.service, row.needs, row.optional, &rule.rcpt_to);
  }
  return Unexpected("any, local, domain or rcpt-to after for",
                    {"any", "local", "domain", "rcpt-to"});
}

}  // namespace postern::policy
