#include "lib/core/trust/spf_record.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

constexpr std::string_view kVersion = "v=spf1";

using Kind = SpfMechanism::Kind;

// What each mechanism may carry (RFC 7208 §5.1 to §5.7).
enum class Domain { kNone, kMay, kMust };
struct Row {
  const char* name;
  Kind kind;
  Domain domain;
  bool dual_cidr;
};
constexpr std::array<Row, 8> kMechanisms = {{
    {"all", Kind::kAll, Domain::kNone, false},
    {"include", Kind::kInclude, Domain::kMust, false},
    {"a", Kind::kA, Domain::kMay, true},
    {"mx", Kind::kMx, Domain::kMay, true},
    {"ptr", Kind::kPtr, Domain::kMay, false},
    {"ip4", Kind::kIp4, Domain::kNone, false},
    {"ip6", Kind::kIp6, Domain::kNone, false},
    {"exists", Kind::kExists, Domain::kMust, false},
}};

const Row& RowOf(Kind kind) { return kMechanisms[static_cast<size_t>(kind)]; }

Status Wrong(std::string_view term, std::string_view what) {
  return InvalidArgument(StrCat("at \"", Escape(term, 80), "\": ", what));
}

// ReadCidr: digits without a leading zero, at most `max`.
std::optional<int> ReadCidr(std::string_view digits, int max) {
  if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
  const std::optional<uint64_t> value = ParseUint(digits, static_cast<uint64_t>(max));
  return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
}

// TakeCidr cuts "`slashes`digits" off the end of `*text` and gives the digits, "" for none. The
// digits may be missing after the slashes: that is "/", which no number is.
std::optional<std::string_view> TakeCidr(std::string_view slashes, std::string_view* text) {
  size_t start = text->size();
  while (start > 0 && IsAsciiDigit((*text)[start - 1])) --start;
  if (start < slashes.size() || text->substr(start - slashes.size(), slashes.size()) != slashes)
    return std::nullopt;
  const std::string_view digits = text->substr(start);
  text->remove_suffix(digits.size() + slashes.size());
  return digits;
}

Status ParseDualCidr(std::string_view* argument, SpfMechanism* mechanism) {
  // RFC 7208 §5.3: dual-cidr-length = [ ip4-cidr-length ] [ "/" ip6-cidr-length ]
  if (const auto digits = TakeCidr("//", argument)) {
    const std::optional<int> bits = ReadCidr(*digits, 128);
    if (!bits)
      return InvalidArgument(StrCat("\"//", *digits, "\" is not an IPv6 prefix length (0 to 128)"));
    mechanism->ip6_bits = *bits;
  }
  if (const auto digits = TakeCidr("/", argument)) {
    const std::optional<int> bits = ReadCidr(*digits, 32);
    if (!bits)
      return InvalidArgument(StrCat("\"/", *digits, "\" is not an IPv4 prefix length (0 to 32)",
                                    ReadCidr(*digits, 128) ? "; one for IPv6 is written //" : ""));
    mechanism->ip4_bits = *bits;
  }
  return OkStatus();
}

bool IsQnum(std::string_view part) {
  return !part.empty() && part.size() <= 3 && (part.size() == 1 || part.front() != '0') &&
         ParseUint(part, 255).has_value();
}

std::optional<std::string> ParseNetwork4(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, '.');
  if (parts.size() != 4 || !std::all_of(parts.begin(), parts.end(), IsQnum)) return std::nullopt;
  std::string octets;
  for (const std::string_view part : parts) octets.push_back(static_cast<char>(*ParseUint(part)));
  return octets;
}

std::optional<std::string> ParseNetwork6(std::string_view text) {
  char octets[16];
  if (text.size() > 45 || text.find('\0') != std::string_view::npos ||
      inet_pton(AF_INET6, std::string(text).c_str(), octets) != 1)
    return std::nullopt;
  return std::string(octets, sizeof octets);
}

Status ParseNetwork(std::string_view argument, SpfMechanism* mechanism) {
  const bool v4 = mechanism->kind == Kind::kIp4;
  const char* const name = v4 ? "ip4" : "ip6";
  if (argument.empty() || argument.front() != ':')
    return InvalidArgument(
        StrCat(name, " needs a network, as in ", name, ":", v4 ? "192.0.2.0/24" : "2001:db8::/32"));
  argument.remove_prefix(1);
  const size_t slash = argument.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view digits = argument.substr(slash + 1);
    const std::optional<int> bits = ReadCidr(digits, v4 ? 32 : 128);
    if (!bits)
      return InvalidArgument(
          StrCat("\"/", Escape(digits), "\" is not a prefix length (0 to ", v4 ? 32 : 128, ")"));
    (v4 ? mechanism->ip4_bits : mechanism->ip6_bits) = *bits;
    argument = argument.substr(0, slash);
  }
  std::optional<std::string> octets = v4 ? ParseNetwork4(argument) : ParseNetwork6(argument);
  if (!octets)
    return InvalidArgument(
        StrCat("\"", Escape(argument), "\" is not an ", v4 ? "IPv4" : "IPv6", " address"));
  mechanism->network = *std::move(octets);
  return OkStatus();
}

std::string NoSuchMechanism(std::string_view name) {
  std::string said = StrCat("there is no mechanism \"", Escape(name, 40), "\"");
  if (name.size() > 16) return said;
  if (EqualsIgnoreCase(name, "redirect") || EqualsIgnoreCase(name, "exp"))
    return StrCat(said, "; the modifier is written ", AsciiLower(name), "=");
  if (EqualsIgnoreCase(name, "ip")) return said + "; is ip4 or ip6 meant?";
  for (const Row& row : kMechanisms)
    if (row.kind != Kind::kA && EditDistance(AsciiLower(name), row.name) <= 1)
      return StrCat(said, "; is ", row.name, " meant?");
  return said;
}

StatusOr<SpfMechanism> ParseMechanism(std::string_view term) {
  SpfMechanism mechanism;
  mechanism.text = std::string(term);
  std::string_view rest = term;
  if (std::string_view("+-~?").find(rest.front()) != std::string_view::npos) {
    mechanism.qualifier = static_cast<SpfQualifier>(rest.front());
    rest.remove_prefix(1);
  }
  const std::string_view name = rest.substr(0, rest.find_first_of(":/"));
  std::string_view argument = rest.substr(name.size());
  const Row* const row =
      std::find_if(kMechanisms.begin(), kMechanisms.end(),
                   [&](const Row& candidate) { return EqualsIgnoreCase(name, candidate.name); });
  if (row == kMechanisms.end()) return Wrong(term, NoSuchMechanism(name));
  mechanism.kind = row->kind;

  if (row->kind == Kind::kIp4 || row->kind == Kind::kIp6) {
    const Status network = ParseNetwork(argument, &mechanism);
    if (!network.ok()) return Wrong(term, Message(network));
    return mechanism;
  }
  if (row->dual_cidr) {
    const Status cidr = ParseDualCidr(&argument, &mechanism);
    if (!cidr.ok()) return Wrong(term, Message(cidr));
  }
  if (argument.empty()) {
    if (row->domain == Domain::kMust)
      return Wrong(term, StrCat(row->name, " needs a domain, as in ", row->name, ":example.org"));
    return mechanism;
  }
  if (row->domain == Domain::kNone)
    return Wrong(term, StrCat(row->name, " takes nothing behind it"));
  if (argument.front() != ':')
    return Wrong(term, StrCat("\"", Escape(argument, 40), "\" cannot follow ", row->name));
  StatusOr<SpfMacroString> domain = ParseSpfMacroString(argument.substr(1), SpfMacroUse::kDomain);
  if (!domain.ok()) return Wrong(term, Message(domain.status()));
  mechanism.domain = *std::move(domain);
  return mechanism;
}

// ModifierName is the name in "name=…", "" when `term` is no modifier: name = ALPHA *( ALPHA /
// DIGIT / "-" / "_" / "." ).
std::string_view ModifierName(std::string_view term) {
  size_t i = 0;
  while (i < term.size() &&
         (IsAsciiAlnum(term[i]) || term[i] == '-' || term[i] == '_' || term[i] == '.'))
    ++i;
  if (i == 0 || i == term.size() || term[i] != '=' || !IsAsciiAlpha(term[0])) return {};
  return term.substr(0, i);
}

Status ParseModifier(std::string_view term, std::string_view name, SpfRecord* record) {
  const std::string_view text = term.substr(name.size() + 1);
  const bool redirect = EqualsIgnoreCase(name, "redirect");
  if (redirect || EqualsIgnoreCase(name, "exp")) {
    std::optional<SpfMacroString>& slot = redirect ? record->redirect : record->explanation;
    // RFC 7208 §6: once each at most.
    if (slot) return Wrong(term, StrCat(AsciiLower(name), "= stands there twice"));
    StatusOr<SpfMacroString> value = ParseSpfMacroString(text, SpfMacroUse::kDomain);
    if (!value.ok()) return Wrong(term, Message(value.status()));
    slot = *std::move(value);
    return OkStatus();
  }
  StatusOr<SpfMacroString> value = ParseSpfMacroString(text, SpfMacroUse::kModifierValue);
  if (!value.ok()) return Wrong(term, Message(value.status()));
  record->unknown.push_back(SpfModifier{std::string(name), *std::move(value)});
  return OkStatus();
}

}  // namespace

bool IsSpfRecord(std::string_view txt) {
  return StartsWithIgnoreCase(txt, kVersion) &&
         (txt.size() == kVersion.size() || txt[kVersion.size()] == ' ');
}

StatusOr<SpfRecord> ParseSpfRecord(std::string_view txt, const SpfRecordLimits& limits) {
  if (!IsSpfRecord(txt)) return InvalidArgument("it does not start with v=spf1");
  if (txt.size() > limits.max_bytes)
    return InvalidArgument(StrCat("it is longer than ", limits.max_bytes, " octets"));
  SpfRecord record;
  for (const std::string_view term : Split(txt.substr(kVersion.size()), ' ')) {
    if (term.empty()) continue;
    // §3.1: US-ASCII; §4.6.1: blanks, and nothing else, stand between terms.
    const auto bad = std::find_if_not(term.begin(), term.end(), IsAsciiPrintable);
    if (bad != term.end())
      return Wrong(term,
                   IsAscii(*bad) ? "a control character is not allowed" : "only ASCII is allowed");
    if (const std::string_view name = ModifierName(term); !name.empty()) {
      const Status modifier = ParseModifier(term, name, &record);
      if (!modifier.ok()) return modifier;
      continue;
    }
    StatusOr<SpfMechanism> mechanism = ParseMechanism(term);
    if (!mechanism.ok()) return mechanism.status();
    record.mechanisms.push_back(*std::move(mechanism));
  }
  return record;
}

std::string SpfMechanism::ToString() const {
  std::string out;
  if (qualifier != SpfQualifier::kPass) out.push_back(static_cast<char>(qualifier));
  out += RowOf(kind).name;
  if (kind == Kind::kIp4 || kind == Kind::kIp6) {
    char printed[INET6_ADDRSTRLEN];
    inet_ntop(kind == Kind::kIp4 ? AF_INET : AF_INET6, network.data(), printed, sizeof printed);
    StrAppend(out, ":", printed);
  }
  if (domain) StrAppend(out, ":", domain->text);
  const bool has_ip4_bits = kind == Kind::kIp4 || kind == Kind::kA || kind == Kind::kMx;
  if (has_ip4_bits && ip4_bits != 32) StrAppend(out, "/", ip4_bits);
  if (kind == Kind::kIp6 && ip6_bits != 128) StrAppend(out, "/", ip6_bits);
  if ((kind == Kind::kA || kind == Kind::kMx) && ip6_bits != 128) StrAppend(out, "//", ip6_bits);
  return out;
}

std::string SpfRecord::ToString() const {
  std::string out(kVersion);
  for (const SpfMechanism& mechanism : mechanisms) StrAppend(out, " ", mechanism.ToString());
  if (redirect) StrAppend(out, " redirect=", redirect->text);
  if (explanation) StrAppend(out, " exp=", explanation->text);
  for (const SpfModifier& modifier : unknown)
    StrAppend(out, " ", modifier.name, "=", modifier.value.text);
  return out;
}

}  // namespace postern::trust
