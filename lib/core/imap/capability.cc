#include "lib/core/imap/capability.h"

#include "lib/core/base/strings.h"

namespace postern::imap {
namespace {

enum class When : uint8_t { kAlways, kStartTls, kLoginAllowed, kLoginRefused, kLoggedIn };

struct CapabilityRow {
  std::string_view name;
  When when;
};

constexpr CapabilityRow kCapabilities[] = {
    {"IMAP4rev1", When::kAlways},   // RFC 3501
    {"LITERAL+", When::kAlways},    // RFC 7888
    {"SASL-IR", When::kAlways},     // RFC 4959
    {"ID", When::kAlways},          // RFC 2971
    {"STARTTLS", When::kStartTls},  // RFC 3501 §6.2.1
    {"LOGINDISABLED", When::kLoginRefused},
    {"ENABLE", When::kLoggedIn},         // RFC 5161
    {"IDLE", When::kLoggedIn},           // RFC 2177
    {"NAMESPACE", When::kLoggedIn},      // RFC 2342
    {"CHILDREN", When::kLoggedIn},       // RFC 3348
    {"LIST-EXTENDED", When::kLoggedIn},  // RFC 5258
    {"LIST-STATUS", When::kLoggedIn},    // RFC 5819
    {"SPECIAL-USE", When::kLoggedIn},    // RFC 6154
    {"UNSELECT", When::kLoggedIn},       // RFC 3691
    {"UIDPLUS", When::kLoggedIn},        // RFC 4315
    {"MOVE", When::kLoggedIn},           // RFC 6851
    {"STATUS=SIZE", When::kLoggedIn},    // RFC 8438
};

bool Holds(When when, const CapabilityContext& context) {
  const bool before_login = context.state == State::kNotAuthenticated;
  switch (when) {
    case When::kAlways: return true;
    case When::kStartTls: return before_login && context.starttls;
    case When::kLoginAllowed: return before_login && context.login_allowed;
    case When::kLoginRefused: return before_login && !context.login_allowed;
    case When::kLoggedIn: return !before_login;
  }
  return false;
}

}  // namespace

std::string FormatCapabilities(const CapabilityContext& context) {
  std::string out;
  for (const CapabilityRow& row : kCapabilities) {
    if (!Holds(row.when, context)) continue;
    if (!out.empty()) out.push_back(' ');
    out.append(row.name);
  }
  if (Holds(When::kLoginAllowed, context)) {
    for (const std::string_view name : sasl::Names(context.mechanisms))
      StrAppend(out, " AUTH=", name);  // RFC 3501 §6.2.2
  }
  // RFC 7889 §4: with a number, it holds for every mailbox.
  if (context.state != State::kNotAuthenticated)
    StrAppend(out, " APPENDLIMIT=", context.append_limit_bytes);
  return out;
}

bool CanEnable(std::string_view) {
  // Each extension that ENABLE switches on (CONDSTORE, QRESYNC, UTF8=ACCEPT, IMAP4rev2) is named
  // here when it is built.
  return false;
}

}  // namespace postern::imap
