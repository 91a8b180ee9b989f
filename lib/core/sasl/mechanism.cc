#include "lib/core/sasl/mechanism.h"

#include "lib/core/base/strings.h"

namespace postern::sasl {
namespace {

struct Row {
  Mechanism mechanism;
  std::string_view name;
};

// In the order in which they are offered.
constexpr Row kRows[] = {
    {Mechanism::kScramSha256Plus, "SCRAM-SHA-256-PLUS"},
    {Mechanism::kScramSha256, "SCRAM-SHA-256"},
    {Mechanism::kScramSha1Plus, "SCRAM-SHA-1-PLUS"},
    {Mechanism::kScramSha1, "SCRAM-SHA-1"},
    {Mechanism::kExternal, "EXTERNAL"},
    {Mechanism::kOAuthBearer, "OAUTHBEARER"},
    {Mechanism::kXOAuth2, "XOAUTH2"},
    {Mechanism::kPlain, "PLAIN"},
    {Mechanism::kLogin, "LOGIN"},
};

}  // namespace

std::string_view MechanismName(Mechanism mechanism) {
  for (const Row& row : kRows) {
    if (row.mechanism == mechanism) return row.name;
  }
  return {};
}

std::optional<Mechanism> FindMechanism(std::string_view name) {
  for (const Row& row : kRows) {
    if (EqualsIgnoreCase(name, row.name)) return row.mechanism;
  }
  return std::nullopt;
}

bool IsScram(Mechanism mechanism) {
  return ((kScramSha1Mechanisms | kScramSha256Mechanisms) & BitOf(mechanism)) != 0;
}

bool IsBound(Mechanism mechanism) {
  return mechanism == Mechanism::kScramSha1Plus || mechanism == Mechanism::kScramSha256Plus;
}

bool IsToken(Mechanism mechanism) { return (kTokenMechanisms & BitOf(mechanism)) != 0; }

MechanismSet Offered(MechanismSet allowed, const Channel& channel) {
  if (channel.exporter.empty() && channel.end_point.empty())
    allowed &= ~(BitOf(Mechanism::kScramSha1Plus) | BitOf(Mechanism::kScramSha256Plus));
  if (!channel.certificate) allowed &= ~BitOf(Mechanism::kExternal);
  return allowed;
}

std::vector<std::string_view> Names(MechanismSet set) {
  std::vector<std::string_view> names;
  for (const Row& row : kRows) {
    if ((set & BitOf(row.mechanism)) != 0) names.push_back(row.name);
  }
  return names;
}

}  // namespace postern::sasl
