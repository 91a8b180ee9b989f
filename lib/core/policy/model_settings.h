// The limits, times and other settings of the server as a whole: `smtp`, `mta`, `mda`, `scheduler`,
// `queue`, `srs`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "lib/core/base/time.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_base.h"

namespace postern::policy {

inline constexpr size_t kMaxWarnIntervals = 4;

// MtaLimits are `mta limit`. Delays in seconds. The defaults are OpenSMTPD's, except that the
// bounds and delays that are 0 here (none) are 5, 100, 20, 100, 5s and 2s there: what a server
// wants of us it says by refusing, and is then left alone for longer each time.
struct MtaLimits {
  AddressFamily family = AddressFamily::kAny;
  int64_t max_conn_per_host = 10;
  int64_t max_conn_per_route = 0;
  int64_t max_conn_per_source = 0;
  int64_t max_conn_per_connector = 0;
  int64_t max_conn_per_relay = 0;
  int64_t max_conn_per_domain = 100;
  int64_t conn_delay_host = 0;
  int64_t conn_delay_route = 0;
  int64_t conn_delay_source = 0;
  int64_t conn_delay_connector = 0;
  int64_t conn_delay_relay = 0;
  int64_t conn_delay_domain = 0;
  int64_t reconn_delay_route = 3;
  int64_t session_mail_max = 100;
  int64_t session_transaction_delay = 0;
  int64_t session_keepalive = 10;
  int64_t max_failures_per_session = 25;
  int64_t task_hiwat = 50;
  int64_t task_lowat = 30;
  int64_t task_release = 10;
  int64_t max_reply_line_bytes = 0;  // RFC 5321 §4.5.3.1.5; 0: the client session's default
};

// MtaTimeouts are `mta timeout`: how long another server may take (RFC 5321 §4.5.3.2). What is
// unset is as the relay has it (smtp::ClientOptions, relay::RelayOptions).
struct MtaTimeouts {
  std::optional<Duration> connect;
  std::optional<Duration> greeting;  // §4.5.3.2.1: to the 220
  std::optional<Duration> helo;      // to the reply to EHLO, HELO or LHLO
  std::optional<Duration> starttls;
  std::optional<Duration> auth;
  std::optional<Duration> mail_from;   // §4.5.3.2.2
  std::optional<Duration> rcpt_to;     // §4.5.3.2.3
  std::optional<Duration> data_init;   // §4.5.3.2.4: to the 354
  std::optional<Duration> data_block;  // §4.5.3.2.5: for a piece of the text to be taken
  std::optional<Duration> data_end;    // §4.5.3.2.6: to the reply behind the final dot
  std::optional<Duration> rset;
  std::optional<Duration> quit;
};

struct DomainMtaLimits {
  std::string domain;
  MtaLimits limits;
  SourceLocation location;
};

struct MdaLimits {
  int64_t max_session = 50;
  int64_t max_session_per_user = 7;
  int64_t task_hiwat = 50;
  int64_t task_lowat = 30;
  int64_t task_release = 10;
};

// SchedulerLimits are `scheduler limit`. 0: as the scheduler has it (schedule::SchedulerOptions;
// OpenSMTPD has 5000 and 256).
struct SchedulerLimits {
  int64_t max_inflight = 0;        // envelopes on their way at the same time
  int64_t max_evp_batch_size = 0;  // envelopes read from the queue at a time
  int64_t max_msg_batch_size = 1024;
  int64_t max_schedule = 10;
};

// SmtpTimeouts are `smtp timeout`: how long a client may take (RFC 5321 §4.5.3.2). What is unset is
// as the server session has it (smtp::ServerOptions).
struct SmtpTimeouts {
  std::optional<Duration> command;      // §4.5.3.2.7: between commands
  std::optional<Duration> data_init;    // §4.5.3.2.4: from 354 to the first octet
  std::optional<Duration> data_block;   // §4.5.3.2.5: between two octets of a message
  std::optional<Duration> write;        // for our replies to be taken
  std::optional<Duration> transaction;  // from MAIL to the end of the message
  std::optional<Duration> session;      // in all
  // Of all logins together, SMTP's and IMAP's (sasl::GuessLimits).
  std::optional<Duration> auth_window;
  std::optional<Duration> auth_trust;
  std::optional<Duration> auth_pam;  // for one answer of PAM's (server::PamLimits)
};

struct SmtpSettings {
  int64_t max_mails_per_session = 100;  // `smtp limit max-mails`
  int64_t max_recipients = 1000;        // `smtp limit max-rcpt`, a message
  // The other names of `smtp limit`; 0: as the server session has it (smtp::ServerOptions).
  int64_t max_command_line_bytes = 0;  // max-command-line; RFC 5321 §4.5.3.1.4
  int64_t max_auth_line_bytes = 0;     // max-auth-line; RFC 4954 §4.1
  int64_t max_text_line_bytes = 0;     // max-text-line; RFC 5321 §4.5.3.1.6
  int64_t max_errors = 0;              // max-errors, a session
  int64_t max_refused_recipients = 0;  // max-refused-rcpt, a session
  int64_t max_auth_failures = 0;       // max-auth-failures, a session
  int64_t max_idle_commands = 0;       // max-idle-commands, between two messages
  // What is held against who guesses passwords; 0: as sasl::GuessLimits has it.
  int64_t max_auth_failures_address = 0;  // max-auth-failures-address, in auth-window
  int64_t max_auth_failures_account = 0;  // max-auth-failures-account, in auth-window
  int64_t max_auth_memory = 0;            // max-auth-memory: addresses and accounts remembered
  int64_t max_auth_pam = 0;  // max-auth-pam, at the same time; 0: as server::PamLimits has it
  SmtpTimeouts timeouts;
  int64_t max_message_bytes = 35 * 1024 * 1024;
  char sub_address_delimiter = '+';
  std::string ciphers;  // empty: the library's default
  SourceLocation ciphers_location;
};

struct SrsSettings {
  std::string key;  // empty: none
  std::string backup_key;
  int ttl_days = 4;
  SourceLocation location;
};

// WrittenLimit is one limit of a line: "mta limit conn-delay-host".
struct WrittenLimit {
  std::string name;
  SourceLocation location;
};

enum class QueueEncryption : uint8_t { kNone, kKey, kPrompt, kStdin };

// kQueueKeyOctets is how long the key of `queue encryption` is.
inline constexpr size_t kQueueKeyOctets = 32;

struct QueueSettings {
  Duration ttl = absl::Hours(96);
  Duration retry_delay = absl::Seconds(400);  // of relays
  // reserve_bytes of the spool's file system stay free: below, no message is taken (`queue
  // reserve`, 0: none). Unset: the queue's default.
  std::optional<uint64_t> reserve_bytes;
  bool compression = false;
  QueueEncryption encryption = QueueEncryption::kNone;
  std::string encryption_key;
  SourceLocation compression_location;
  SourceLocation encryption_location;
};

}  // namespace postern::policy
