#include "lib/core/trust/spf_check.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/trust/spf_domain.h"
#include "lib/core/trust/spf_explain.h"

namespace postern::trust {
namespace {

using Kind = SpfMechanism::Kind;

constexpr size_t kMostLookups = 100;  // each include is a coroutine in another, on one stack

// Verdict is what check_host (RFC 7208 §4) gives for one domain, before it is put in words.
struct Verdict {
  SpfResult result = SpfResult::kNone;
  const char* reason = "";
  std::string problem;  // for the errors and kNone: the rest of the sentence
  std::vector<SpfStep> steps;
  std::optional<SpfMacroString> explanation;  // exp= of the record that decided
  std::string exp_domain;                     // %{d} for it
};

// Check is what all records of one check share. It lives in CheckSpf's frame.
struct Check {
  SpfQuery query;
  SpfLimits limits;
  std::string local_part;
  std::string sender_domain;
  std::string helo;
  size_t lookups = 0;
  size_t void_lookups = 0;
  // The client's names that lead back to it (§5.5), for %{p}; found out once.
  std::optional<std::vector<dns::Name>> validated;
};

// Matched is the answer of one mechanism: yes, no, or an error that ends the check.
struct Matched {
  bool yes = false;
  std::optional<SpfResult> error = std::nullopt;
  const char* reason = "";
  std::string problem = {};
};

Matched Trouble(SpfResult result, const char* reason, std::string problem) {
  return Matched{false, result, reason, std::move(problem)};
}

Matched DnsFailed(const char* what, std::string_view domain, const dns::Answer& answer) {
  return Trouble(SpfResult::kTempError, "dns_failed",
                 StrCat("the DNS did not answer for the ", what, " of ", Escape(domain), " (",
                        dns::KindName(answer.kind), ")"));
}

// PrefixEquals compares the first `bits` bits.
bool PrefixEquals(std::string_view a, std::string_view b, int bits) {
  if (a.size() != b.size()) return false;
  const size_t whole = static_cast<size_t>(bits) / 8;
  if (a.substr(0, whole) != b.substr(0, whole)) return false;
  const int rest = bits % 8;
  if (rest == 0) return true;
  const int mask = 0xff00 >> rest;
  return ((a[whole] ^ b[whole]) & mask & 0xff) == 0;
}

bool HasAddress(const dns::Answer& answer, const IpAddress& client, int bits) {
  return std::any_of(answer.records.begin(), answer.records.end(), [&](const dns::Record& record) {
    const auto* data = std::get_if<dns::AddressData>(&record.data);
    return data != nullptr && PrefixEquals(data->address.bytes(), client.bytes(), bits);
  });
}

dns::Type AddressType(const Check& check) {
  return check.query.client.is_v6() ? dns::Type::kAaaa : dns::Type::kA;
}
const char* AddressTypeName(const Check& check) {
  return check.query.client.is_v6() ? "IPv6 address" : "IPv4 address";
}
int PrefixBits(const Check& check, const SpfMechanism& mechanism) {
  return check.query.client.is_v6() ? mechanism.ip6_bits : mechanism.ip4_bits;
}

// CountLookup counts one term that asks the DNS (§4.6.4).
std::optional<Matched> CountLookup(Check* check) {
  const size_t most = std::min(check->limits.max_lookups, kMostLookups);
  if (check->lookups >= most)
    return Trouble(SpfResult::kPermError, "too_many_lookups",
                   StrCat("more than ", most, " terms need the DNS"));
  ++check->lookups;
  return std::nullopt;
}

std::optional<Matched> CountIfVoid(Check* check, const dns::Answer& answer) {
  if (!answer.missing()) return std::nullopt;
  ++check->void_lookups;
  if (check->void_lookups <= check->limits.max_void_lookups) return std::nullopt;
  return Trouble(
      SpfResult::kPermError, "too_many_void_lookups",
      StrCat("more than ", check->limits.max_void_lookups, " lookups found nothing there"));
}

// ClientNames gives the client's names that may be looked at, those under `under` if set (§5.5).
dns::Inquiry<std::vector<dns::Name>> ClientNames(Check* check, std::optional<dns::Name> under) {
  std::vector<dns::Name> names;
  dns::Name reverse = dns::ReverseName(check->query.client.bytes());
  const dns::Answer answer = co_await dns::Ask{std::move(reverse), dns::Type::kPtr};
  size_t looked_at = 0;
  for (const dns::Record& record : answer.records) {
    const auto* data = std::get_if<dns::NameData>(&record.data);
    if (data == nullptr) continue;
    if (looked_at++ == check->limits.max_ptr_names) break;
    if (!under || data->name.IsUnder(*under)) names.push_back(data->name);
  }
  co_return names;
}

// HasClient tells whether `name` leads back to the client. An error is a no (§5.5).
dns::Inquiry<bool> HasClient(Check* check, dns::Name name) {
  const dns::Answer answer = co_await dns::Ask{std::move(name), AddressType(*check)};
  co_return HasAddress(answer, check->query.client, check->query.client.is_v6() ? 128 : 32);
}

// FindValidated fills check->validated.
dns::Inquiry<bool> FindValidated(Check* check) {
  std::vector<dns::Name> validated;
  dns::Inquiry<std::vector<dns::Name>> asking = ClientNames(check, std::nullopt);
  const std::vector<dns::Name> names = co_await std::move(asking);
  for (const dns::Name& name : names) {
    dns::Inquiry<bool> leads_back = HasClient(check, name);
    const bool yes = co_await std::move(leads_back);
    if (yes) validated.push_back(name);
  }
  check->validated = std::move(validated);
  co_return true;
}

// ValidatedName chooses the value of %{p}: the domain itself, else a name below it, else any
// (§7.3).
std::string ValidatedName(const Check& check, std::string_view domain) {
  if (!check.validated || check.validated->empty()) return "unknown";
  const std::optional<dns::Name> own = SpfName(domain);
  const dns::Name* best = nullptr;
  for (const dns::Name& name : *check.validated) {
    if (own && name == *own) return name.ToString();
    if (own && name.IsUnder(*own) && (best == nullptr || !best->IsUnder(*own))) best = &name;
    if (best == nullptr) best = &name;
  }
  return best->ToString();
}

SpfMacroValues ValuesFor(const Check& check, std::string_view domain,
                         const std::string& validated) {
  SpfMacroValues values;
  values.client = check.query.client;
  values.local_part = check.local_part;
  values.sender_domain = check.sender_domain;
  values.domain = domain;
  values.helo = check.helo;
  values.validated = validated;
  values.receiver = check.query.receiver;
  values.now_unix_s = check.query.now_unix_s;
  return values;
}

// Target is a name to ask for: its text, and the name when it can be one.
struct Target {
  std::string text;
  std::optional<dns::Name> name;
  std::optional<Matched> trouble;
};

// Expand finds the target-name of a term (§4.8): `spec` expanded, or the record's own domain.
dns::Inquiry<Target> Expand(Check* check, const SpfMacroString* spec, std::string domain) {
  Target target;
  if (spec == nullptr) {
    target.text = domain;
    target.name = SpfName(domain);
    co_return target;
  }
  if (spec->Uses('p') && !check->validated) {
    // §4.6.4: the PTR query of %{p} counts as that of ptr does.
    target.trouble = CountLookup(check);
    if (target.trouble) co_return target;
    dns::Inquiry<bool> finding = FindValidated(check);
    co_await std::move(finding);
  }
  const std::string validated = ValidatedName(*check, domain);
  target.text = ExpandSpfDomain(*spec, ValuesFor(*check, domain, validated));
  // RFC 8616 §4: %{s} and %{l} never match for a local part that is not ASCII.
  const bool unmatchable = !IsAscii(check->local_part) && (spec->Uses('s') || spec->Uses('l'));
  if (!unmatchable) target.name = SpfName(target.text);
  co_return target;
}

dns::Inquiry<Matched> MatchA(Check* check, const SpfMechanism* mechanism, Target target) {
  const dns::Answer answer = co_await dns::Ask{*target.name, AddressType(*check)};
  if (answer.temporary()) co_return DnsFailed(AddressTypeName(*check), target.text, answer);
  if (std::optional<Matched> trouble = CountIfVoid(check, answer)) co_return *trouble;
  co_return Matched{HasAddress(answer, check->query.client, PrefixBits(*check, *mechanism))};
}

dns::Inquiry<Matched> MatchMx(Check* check, const SpfMechanism* mechanism, Target target) {
  const dns::Answer exchanges = co_await dns::Ask{*target.name, dns::Type::kMx};
  if (exchanges.temporary()) co_return DnsFailed("MX", target.text, exchanges);
  if (std::optional<Matched> trouble = CountIfVoid(check, exchanges)) co_return *trouble;
  if (exchanges.records.size() > check->limits.max_mx_names)
    co_return Trouble(
        SpfResult::kPermError, "too_many_mx_names",
        StrCat(Escape(target.text), " has ", exchanges.records.size(), " MX names, and only ",
               check->limits.max_mx_names, " may be looked at"));
  // §4.6.4 limits the terms whose queries find nothing: this one counts once, however many of its
  // exchanges lead nowhere.
  bool counted = false;
  for (const dns::Record& record : exchanges.records) {
    const auto* data = std::get_if<dns::MxData>(&record.data);
    if (data == nullptr || data->exchange.is_root()) continue;  // RFC 7505: null MX
    const dns::Answer answer = co_await dns::Ask{data->exchange, AddressType(*check)};
    if (answer.temporary())
      co_return DnsFailed(AddressTypeName(*check), data->exchange.ToString(), answer);
    if (answer.missing() && !counted) {
      counted = true;
      if (std::optional<Matched> trouble = CountIfVoid(check, answer)) co_return *trouble;
    }
    if (HasAddress(answer, check->query.client, PrefixBits(*check, *mechanism)))
      co_return Matched{true};
  }
  co_return Matched{};
}

dns::Inquiry<Matched> MatchExists(Check* check, Target target) {
  // §5.7: an A record, whatever the client's kind of address.
  const dns::Answer answer = co_await dns::Ask{*target.name, dns::Type::kA};
  if (answer.temporary()) co_return DnsFailed("IPv4 address", target.text, answer);
  if (std::optional<Matched> trouble = CountIfVoid(check, answer)) co_return *trouble;
  co_return Matched{answer.ok()};
}

dns::Inquiry<Matched> MatchPtr(Check* check, Target target) {
  dns::Inquiry<std::vector<dns::Name>> asking = ClientNames(check, *target.name);
  const std::vector<dns::Name> names = co_await std::move(asking);
  for (const dns::Name& name : names) {
    dns::Inquiry<bool> leads_back = HasClient(check, name);
    const bool yes = co_await std::move(leads_back);
    if (yes) co_return Matched{true};
  }
  co_return Matched{};
}

dns::Inquiry<Verdict> CheckHost(Check* check, std::string domain);

// MatchInclude: what the other record's result does to this one (§5.2).
dns::Inquiry<Matched> MatchInclude(Check* check, Target target, std::vector<SpfStep>* steps) {
  std::string domain = target.text;
  dns::Inquiry<Verdict> other = CheckHost(check, std::move(domain));
  Verdict verdict = co_await std::move(other);
  const auto keep_steps = [&] {
    steps->insert(steps->end(), std::make_move_iterator(verdict.steps.begin()),
                  std::make_move_iterator(verdict.steps.end()));
  };
  switch (verdict.result) {
    case SpfResult::kPass: keep_steps(); co_return Matched{true};
    case SpfResult::kFail:
    case SpfResult::kSoftFail:
    case SpfResult::kNeutral: co_return Matched{};
    case SpfResult::kTempError:
    case SpfResult::kPermError:
      keep_steps();
      co_return Trouble(verdict.result, verdict.reason, std::move(verdict.problem));
    case SpfResult::kNone:
      keep_steps();
      co_return Trouble(SpfResult::kPermError, "included_no_record", std::move(verdict.problem));
  }
  co_return Matched{};
}

dns::Inquiry<Matched> Match(Check* check, const SpfMechanism* mechanism, std::string domain,
                            std::vector<SpfStep>* steps) {
  const IpAddress& client = check->query.client;
  switch (mechanism->kind) {
    case Kind::kAll: co_return Matched{true};
    case Kind::kIp4:
    case Kind::kIp6:
      // A network of the other kind has another size and does not match.
      co_return Matched{
          PrefixEquals(mechanism->network, client.bytes(), PrefixBits(*check, *mechanism))};
    default: break;
  }
  if (std::optional<Matched> trouble = CountLookup(check)) co_return *trouble;
  dns::Inquiry<Target> expanding =
      Expand(check, mechanism->domain ? &*mechanism->domain : nullptr, std::move(domain));
  Target target = co_await std::move(expanding);
  if (target.trouble) co_return *target.trouble;
  if (!target.name) {
    // What cannot be a name in the DNS is not there, and so does not match; a record that cannot be
    // there cannot be included either (§5.2: none is a permerror).
    if (mechanism->kind != Kind::kInclude) co_return Matched{};
    co_return Trouble(SpfResult::kPermError, "malformed_domain",
                      StrCat("\"", Escape(target.text), "\" cannot be a domain"));
  }
  std::optional<dns::Inquiry<Matched>> matching;
  switch (mechanism->kind) {
    case Kind::kInclude: matching.emplace(MatchInclude(check, std::move(target), steps)); break;
    case Kind::kA: matching.emplace(MatchA(check, mechanism, std::move(target))); break;
    case Kind::kMx: matching.emplace(MatchMx(check, mechanism, std::move(target))); break;
    case Kind::kPtr: matching.emplace(MatchPtr(check, std::move(target))); break;
    default: matching.emplace(MatchExists(check, std::move(target))); break;
  }
  Matched matched = co_await std::move(*matching);
  co_return matched;
}

Verdict Conclude(Verdict verdict, SpfResult result, const char* reason, std::string problem) {
  verdict.result = result;
  verdict.reason = reason;
  verdict.problem = std::move(problem);
  return verdict;
}

SpfResult ResultOf(SpfQualifier qualifier) {
  switch (qualifier) {
    case SpfQualifier::kPass: return SpfResult::kPass;
    case SpfQualifier::kFail: return SpfResult::kFail;
    case SpfQualifier::kSoftFail: return SpfResult::kSoftFail;
    case SpfQualifier::kNeutral: break;
  }
  return SpfResult::kNeutral;
}

// CheckHost is RFC 7208 §4 for a domain that can be a name. A redirect goes on in the same loop.
dns::Inquiry<Verdict> CheckHost(Check* check, std::string domain) {
  Verdict verdict;
  for (bool redirected = false;; redirected = true) {
    verdict.steps.push_back(SpfStep{domain, "", ""});
    const std::string whose = StrCat(Escape(domain), "'s record");
    dns::Name name = *SpfName(domain);
    const dns::Answer answer = co_await dns::Ask{std::move(name), dns::Type::kTxt};
    if (answer.temporary())
      co_return Conclude(std::move(verdict), SpfResult::kTempError, "dns_failed",
                         DnsFailed("SPF record", domain, answer).problem);
    std::string text;
    size_t records = 0;
    for (const dns::Record& candidate : answer.records) {
      const auto* data = std::get_if<dns::TxtData>(&candidate.data);
      if (data == nullptr) continue;
      std::string joined = data->Joined();
      if (!IsSpfRecord(joined)) continue;
      ++records;
      text = std::move(joined);
    }
    if (records == 0) {
      std::string problem = StrCat(Escape(domain), " publishes no SPF record");
      // §6.1: a redirect to nothing is a mistake of the publisher.
      if (redirected)
        co_return Conclude(std::move(verdict), SpfResult::kPermError, "redirected_no_record",
                           std::move(problem));
      co_return Conclude(std::move(verdict), SpfResult::kNone, "no_record", std::move(problem));
    }
    if (records > 1)
      co_return Conclude(std::move(verdict), SpfResult::kPermError, "many_records",
                         StrCat(Escape(domain), " publishes ", records, " SPF records"));
    verdict.steps.back().record = text;
    StatusOr<SpfRecord> parsed = ParseSpfRecord(text, check->limits.record);
    if (!parsed.ok())
      co_return Conclude(std::move(verdict), SpfResult::kPermError, "syntax",
                         StrCat(whose, " is wrong ", Message(parsed.status())));
    const SpfRecord record = *std::move(parsed);
    verdict.explanation = record.explanation;
    verdict.exp_domain = domain;

    for (const SpfMechanism& mechanism : record.mechanisms) {
      std::vector<SpfStep> steps;
      dns::Inquiry<Matched> matching = Match(check, &mechanism, domain, &steps);
      Matched matched = co_await std::move(matching);
      if (!matched.yes && !matched.error) continue;
      verdict.steps.back().term = mechanism.text;
      verdict.steps.insert(verdict.steps.end(), std::make_move_iterator(steps.begin()),
                           std::make_move_iterator(steps.end()));
      if (matched.error)
        co_return Conclude(std::move(verdict), *matched.error, matched.reason,
                           std::move(matched.problem));
      const bool all = mechanism.kind == Kind::kAll;
      co_return Conclude(std::move(verdict), ResultOf(mechanism.qualifier),
                         all ? "matched_all" : "matched", "");
    }
    if (!record.redirect)
      co_return Conclude(std::move(verdict), SpfResult::kNeutral, "no_match", "");

    verdict.steps.back().term = StrCat("redirect=", record.redirect->text);
    if (std::optional<Matched> trouble = CountLookup(check))
      co_return Conclude(std::move(verdict), *trouble->error, trouble->reason, trouble->problem);
    dns::Inquiry<Target> expanding = Expand(check, &*record.redirect, domain);
    Target target = co_await std::move(expanding);
    if (target.trouble)
      co_return Conclude(std::move(verdict), *target.trouble->error, target.trouble->reason,
                         target.trouble->problem);
    if (!target.name)  // §6.1
      co_return Conclude(std::move(verdict), SpfResult::kPermError, "malformed_domain",
                         StrCat("\"", Escape(target.text), "\" cannot be a domain"));
    domain = std::move(target.text);
  }
}

// Published expands exp= (§6.2); anything that goes wrong there leaves it empty.
dns::Inquiry<std::string> Published(Check* check, SpfMacroString spec, std::string domain) {
  dns::Inquiry<Target> expanding = Expand(check, &spec, domain);
  Target target = co_await std::move(expanding);
  if (target.trouble || !target.name) co_return std::string();
  const dns::Answer answer = co_await dns::Ask{*target.name, dns::Type::kTxt};
  if (!answer.ok() || answer.records.size() != 1) co_return std::string();
  const auto* data = std::get_if<dns::TxtData>(&answer.records.front().data);
  if (data == nullptr) co_return std::string();
  const StatusOr<SpfMacroString> text =
      ParseSpfMacroString(data->Joined(), SpfMacroUse::kExplanation);
  if (!text.ok()) co_return std::string();
  if (text->Uses('p') && !check->validated) {
    dns::Inquiry<bool> finding = FindValidated(check);
    co_await std::move(finding);
  }
  const std::string validated = ValidatedName(*check, domain);
  std::string expanded = ExpandSpfText(*text, ValuesFor(*check, domain, validated),
                                       check->limits.max_explanation_bytes);
  // It goes into a reply: the client's own words in it may not bring other octets.
  if (!std::all_of(expanded.begin(), expanded.end(), IsAsciiPrintable)) co_return std::string();
  co_return expanded;
}

}  // namespace

dns::Inquiry<Spf> CheckSpf(SpfQuery query, SpfLimits limits) {
  Check check;
  check.query = std::move(query);
  check.limits = limits;
  const SpfQuery& asked = check.query;
  Spf spf;
  spf.identity = asked.identity;
  check.helo = SpfDomain(asked.helo).value_or(asked.helo);

  // §2.3, §2.4, §4.1, §4.3: who is asked about.
  const bool from_helo = asked.identity == SpfIdentity::kHelo || asked.sender.empty();
  const size_t at = asked.sender.rfind('@');
  std::string given = asked.helo;
  if (!from_helo) {
    given = at == std::string::npos ? "" : asked.sender.substr(at + 1);
    check.local_part = asked.sender.substr(0, at);
  }
  if (check.local_part.empty()) check.local_part = "postmaster";
  std::optional<std::string> domain = SpfDomain(given);
  if (!domain) {
    spf.reason = "no_domain";
    spf.explanation = ExplainSpf(spf, WhyNoSpfDomain(given, from_helo), asked.client);
    co_return spf;
  }
  check.sender_domain = *domain;
  spf.domain = *domain;

  dns::Inquiry<Verdict> checking = CheckHost(&check, *domain);
  Verdict verdict = co_await std::move(checking);
  spf.lookups = check.lookups;
  spf.void_lookups = check.void_lookups;
  if (verdict.result == SpfResult::kFail && verdict.explanation) {
    dns::Inquiry<std::string> asking = Published(&check, *verdict.explanation, verdict.exp_domain);
    spf.published = co_await std::move(asking);
  }
  spf.result = verdict.result;
  spf.reason = verdict.reason;
  const bool decided = spf.reason == "matched" || spf.reason == "matched_all";
  for (const SpfStep& step : verdict.steps)
    if (decided && !StartsWithIgnoreCase(step.term, "redirect=")) {
      spf.mechanism = step.term;
      break;
    }
  spf.steps = std::move(verdict.steps);
  spf.explanation = ExplainSpf(spf, verdict.problem, asked.client);
  co_return spf;
}

}  // namespace postern::trust
