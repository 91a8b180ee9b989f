// `action`, and the `mda wrapper` that it may name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/core/base/time.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_base.h"

namespace postern::policy {

enum class RelayScheme : uint8_t {
  kSmtp,       // smtp://  STARTTLS when offered, not verified; port 25. What no scheme means, too
  kSmtpTls,    // smtp+tls://  STARTTLS demanded and verified
  kSmtpNoTls,  // smtp+notls://
  kSmtps,      // smtps://  TLS from the start, verified; port 465
  kLmtp,       // lmtp://  port required, no TLS
};

// RelayUrl is [scheme://][label@]host[:port].
struct RelayUrl {
  RelayScheme scheme = RelayScheme::kSmtp;
  std::string label;  // key into the `auth` table
  std::string host;   // a name, or an address without brackets
  bool host_is_address = false;
  uint16_t port = 25;

  std::string ToString() const;
  friend bool operator==(const RelayUrl&, const RelayUrl&) = default;
};

enum class RelayTls : uint8_t {
  kDefault,             // as the URL says; without host: opportunistic, not verified
  kRequired,            // `tls`: demanded and verified
  kRequiredUnverified,  // `tls no-verify`
};

struct RelayOptions {
  std::string helo;
  TableId helo_source = kNoIndex;  // `helo-src`: source address -> EHLO name
  TableId host = kNoIndex;         // relay URLs, fetched in turn; kNoIndex: by MX
  TableId domain = kNoIndex;       // recipient domain -> relay URL
  bool backup = false;
  std::string backup_mx;      // empty with backup: the server's name
  TableId auth = kNoIndex;    // label -> user:password
  std::string mail_from;      // "user@domain", or "@domain" which keeps the user part
  TableId source = kNoIndex;  // `src`: local addresses, fetched in turn
  RelayTls tls = RelayTls::kDefault;
  int pki = kNoIndex;
  int ca = kNoIndex;
  bool srs = false;
  std::string protocols;
  std::string ciphers;
  int filter = kNoIndex;
};

enum class ActionKind : uint8_t { kMaildir, kMbox, kLmtp, kMda, kForwardOnly, kExpandOnly, kRelay };

struct Action {
  std::string name;
  SourceLocation location;
  OptionPlaces options;  // the method's word is one of them
  ActionKind kind = ActionKind::kRelay;
  std::string maildir_path;  // a format (format.h); "~/Maildir" by default
  bool junk = false;
  std::string lmtp_destination;  // host:port, or the path of a socket
  bool lmtp_rcpt_to = false;
  std::string mda_command;  // a format
  TableId alias = kNoIndex;
  TableId virtual_users = kNoIndex;
  TableId userbase = kNoIndex;  // kNoIndex: the system's accounts
  std::string user;             // deliver as this account; empty: the recipient's
  int wrapper = kNoIndex;       // index into Config::wrappers
  std::optional<Duration> ttl;  // unset: Config::queue_ttl
  RelayOptions relay;           // when kind is kRelay

  bool IsLocal() const { return kind != ActionKind::kRelay; }
};

struct MdaWrapper {
  std::string name;
  std::string command;  // a format; %{mda} is the inner command
  SourceLocation location;
};

}  // namespace postern::policy
