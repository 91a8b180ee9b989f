// What an smtpd.conf means. Parse (parse.h) makes a Config; from then on it is immutable and shared
// by all threads.
//
// The language is smtpd.conf(5) of OpenSMTPD 7 with the same meaning for every word. Words of ours,
// none of them reserved, so that no file of OpenSMTPD changes its meaning:
//   listen on ... proto smtp|imap   what is spoken there (default smtp). With imap the default port
//   is 143, with smtps 993, and
//                                   `auth [<t>]` names where logins are checked
//   listen on ... senders any       a login may send as anybody; senders own: as itself alone.
//                                   Without senders: not as another user of this server
//   spool "/var/spool/postern"      where the queue and our state live (OpenSMTPD compiles this in)
//   control socket "/run/x.sock"    where `postern ctl` finds the server (SPOOL/control.sock)
//   libexec "/usr/libexec/smtpd"    a folder where the programs of tables (table-TYPE) are looked
//   for
//                                   first; below it, a TYPE may be any word
//   mailname "mail.example.org"     the server's name, in place of the first line of
//   /etc/mail/mailname resolver zone "/path"           answers DNS questions from a zone file, for
//   tests and machines without a network queue retry-delay 400s          the wait after the first
//   temporary failure of a relay; the n-th is n^2 times as long after
//                                   the message came
//   queue reserve 16M               what stays free on the spool's disk: below, mail gets 452
//   smtp limit NAME N               beside max-mails and max-rcpt: max-command-line,
//                                   max-auth-line, max-text-line (octets, K, M and G as elsewhere),
//                                   max-errors, max-refused-rcpt, max-auth-failures,
//                                   max-auth-failures-address, max-auth-failures-account,
//                                   max-auth-memory, max-idle-commands (SmtpSettings)
//   smtp timeout NAME 5m            patience with clients: command, data-init, data-block, write,
//                                   transaction, session; auth-window, in which wrong guesses of
//                                   passwords leak away, and auth-trust, how long who logged in
//                                   from an address is known there (SmtpTimeouts)
//   mta limit max-reply-line 4096   octets of one line of another server's reply
//   mta timeout NAME 5m             patience with other servers: connect, greeting, helo, starttls,
//                                   auth, mail-from, rcpt-to, data-init, data-block, data-end,
//                                   rset, quit (MtaTimeouts)
//   filter F proc-exec "x" ... timeout NAME 5s
//                                   patience with a filter program, of a proc, too: start, answer,
//                                   content, read (ProgramTimeouts)
//   filter NAME milter "SOCKET"     a filter by Sendmail's protocol at "inet:127.0.0.1:8891",
//                                   "inet6:[::1]:8891" or "unix:/path" (milter_socket.h). While it
//                                   does not do its part mail gets `default tempfail` (or reject,
//                                   accept); connect-timeout 30s, command-timeout 30s and
//                                   content-timeout 5m are how long each answer may take
//
// Things refer to each other by index: TableId into Config::tables, a filter or proc by its place
// in Config::filters or Config::procs, an action likewise. -1 is "none".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"
#include "lib/core/policy/diagnostic.h"

namespace postern::policy {

inline constexpr size_t kMaxTableNameBytes = 64;
inline constexpr size_t kMaxTagBytes = 32;
inline constexpr size_t kMaxListenerPki = 32;
inline constexpr size_t kMaxWarnIntervals = 4;

using TableId = int;
inline constexpr int kNoIndex = -1;

// Service says how the entries of a table are compared with what is asked (table.h has the rules).
enum class Service : uint8_t {
  kAlias,        // user -> comma list of what it stands for; also `virtual`
  kDomain,       // domains, `*` as glob
  kCredentials,  // login -> hash, or label -> user:password
  kNetaddr,      // addresses and networks; the word `local` is the local socket
  kUserinfo,     // user -> uid:gid:home
  kSource,       // addresses, fetched in turn
  kMailaddr,     // user, @domain, user@domain, @
  kAddrname,     // address -> host name
  kMailaddrmap,  // user -> comma list of mail addresses
  kRelayhost,    // relay URLs: fetched in turn, or by domain
  kString,       // exact
  kRegex,        // RE2 expressions, unanchored
};
// ServiceName is the word of the table protocol: "alias", "domain", ...
const char* ServiceName(Service service);

enum class TableKind : uint8_t { kStatic, kFile, kDb, kPasswd, kSqlite, kProc };
enum class TableForm : uint8_t { kUnknown, kList, kMapping };

struct TableEntry {
  std::string key;    // lower-cased when the table is built, not here
  std::string value;  // empty in a list
  int line = 0;       // in the file the table was declared or read from
  int column = 0;     // of an entry in the configuration; 0 in a table's file
};

// TableUse is one place that uses a table: what it wants of it. The loader checks form and entries
// against all uses.
struct TableUse {
  Service service = Service::kString;
  TableForm needs = TableForm::kUnknown;  // kUnknown: either form will do
  std::string word;                       // the word of the directive: "alias", "from src", ...
  SourceLocation location;
};

struct TableDeclaration {
  std::string name;  // "<anonymous:N>" for a table written in place
  bool anonymous = false;
  TableKind kind = TableKind::kStatic;
  TableForm form = TableForm::kUnknown;  // known for static tables; for the others once loaded
  std::string backend;                   // as written: "file", "passwd", "ldap", ...
  std::string path;                      // for all but static tables: absolute
  std::vector<TableEntry> entries;       // of a static table, as written
  std::vector<TableUse> uses;
  SourceLocation location;
};

enum class DheMode : uint8_t { kNone, kAuto, kLegacy };

struct Pki {
  std::string name;  // lower case; "*" is the fallback
  std::string certificate_path;
  std::string key_path;
  DheMode dhe = DheMode::kNone;
  SourceLocation location;
  SourceLocation certificate_location;
  SourceLocation key_location;
};

struct CertificateAuthority {
  std::string name;
  std::string certificate_path;
  SourceLocation location;
  SourceLocation certificate_location;
};

enum class AddressFamily : uint8_t { kAny, kInet4, kInet6 };
enum class ListenerProtocol : uint8_t { kSmtp, kImap };

enum class ListenerTls : uint8_t {
  kNone,
  kOptional,  // `tls`: STARTTLS is offered
  kRequired,  // `tls-require`: nothing is done before STARTTLS
  kSmtps,     // `smtps`: TLS from the first octet
};

enum class ListenerAuth : uint8_t { kNone, kRequired, kOptional };

// OptionPlaces remembers where each option of a directive was written, so that what is said about
// it later points there.
class OptionPlaces {
 public:
  void Add(std::string word, SourceLocation at) {
    places_.emplace_back(std::move(word), std::move(at));
  }
  // Find returns the place of the first option called `word`, or `otherwise`.
  const SourceLocation& Find(std::string_view word, const SourceLocation& otherwise) const;
  // Find returns the same place, or null when the option was not written.
  const SourceLocation* Find(std::string_view word) const;

 private:
  std::vector<std::pair<std::string, SourceLocation>> places_;
};

// SendersRule says what a login may send as where no table does.
enum class SendersRule : uint8_t {
  kNotOthers,  // as anybody but the others of this server; the default
  kOwn,        // as itself alone (`senders own`)
  kAny,        // as anybody (`senders any`), as OpenSMTPD has it
};

struct Listener {
  SourceLocation location;
  OptionPlaces options;
  bool is_socket = false;  // `listen on socket`: the local submission socket
  std::string target;      // interface, group (all, egress, lo0), address or host name, as written
  AddressFamily family = AddressFamily::kAny;
  uint16_t port = 0;  // 0: one that the system chooses (`port 0`); none with is_socket
  ListenerProtocol protocol = ListenerProtocol::kSmtp;
  ListenerTls tls = ListenerTls::kNone;
  bool verify_client = false;  // `tls-require verify`, `smtps verify`
  // Certificates by index into Config::pkis, the first is the default. Empty with TLS: chosen among
  // all by SNI, then by the server's name, then "*".
  std::vector<int> pkis;
  // ca: index into Config::cas, whose certificates those of clients are verified against; without
  // it, the system's. Without verify_client a client may have none, but no bad one.
  int ca = kNoIndex;
  ListenerAuth auth = ListenerAuth::kNone;
  TableId auth_table = kNoIndex;  // kNoIndex with auth: the system's accounts
  int filter = kNoIndex;
  std::string tag;
  std::string hostname;          // empty: the server's name
  TableId hostnames = kNoIndex;  // local address -> name
  bool mask_src = false;
  TableId senders = kNoIndex;                          // login -> addresses it may send as
  SendersRule senders_rule = SendersRule::kNotOthers;  // without that table
  bool senders_masquerade = false;
  bool received_auth = false;
  bool no_dsn = false;
  // proxy_v2: connections begin with the header of a proxy, which says who the client is; nobody
  // else is served. Whoever reaches such a listener may claim any address but this machine's own,
  // so that only the proxy should reach it.
  bool proxy_v2 = false;
  std::string protocols;  // TLS versions, OpenSSL's words; empty: default
  std::string ciphers;
};

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

// Criterion is one test of a rule or a filter. Without table it asks for presence alone (`auth`,
// `rdns`).
struct Criterion {
  bool present = false;
  bool negated = false;
  bool regex = false;
  TableId table = kNoIndex;
};

enum class FromKind : uint8_t { kLocal, kAny, kSource, kSocket, kRdns };
enum class ForKind : uint8_t { kLocal, kAny, kDomain };

// Rule is one `match`. `from auth`, `from mail-from` and `for rcpt-to` stand as kAny with the auth,
// mail-from or rcpt-to criterion, which is what they mean.
struct Rule {
  SourceLocation location;
  FromKind from_kind = FromKind::kLocal;
  Criterion from;
  ForKind for_kind = ForKind::kLocal;
  Criterion to;
  Criterion auth;
  Criterion helo;
  Criterion mail_from;
  Criterion rcpt_to;
  Criterion tag;
  Criterion tls;
  int action = kNoIndex;  // kNoIndex: reject

  bool IsReject() const { return action == kNoIndex; }
};

enum class FilterPhase : uint8_t {
  kConnect,
  kHelo,
  kEhlo,
  kStartTls,
  kAuth,
  kMailFrom,
  kRcptTo,
  kData,
  kCommit
};
enum class FilterTest : uint8_t { kFcrdns, kRdns, kSource, kHelo, kAuth, kMailFrom, kRcptTo };
enum class FilterDecision : uint8_t { kDisconnect, kReject, kRewrite, kReport, kJunk, kBypass };
enum class FilterKind : uint8_t { kBuiltin, kProgram, kChain, kMilter };

struct Filter {
  std::string name;  // "<anonymous:N>" for a chain written in place
  SourceLocation location;
  FilterKind kind = FilterKind::kBuiltin;
  // kBuiltin
  FilterPhase phase = FilterPhase::kConnect;
  FilterTest test = FilterTest::kRdns;
  Criterion criterion;
  FilterDecision decision = FilterDecision::kReject;
  std::string argument;    // status text, new value or report
  int proc = kNoIndex;     // kProgram: index into Config::procs
  std::vector<int> chain;  // kChain: indices into Config::filters, in order
  int milter = kNoIndex;   // kMilter: index into Config::milters
};

// MilterDefault is what becomes of mail while a milter does not answer.
enum class MilterDefault : uint8_t { kTempFail, kReject, kAccept };

// Milter is a filter of another program by Sendmail's protocol. Times are Postfix's defaults.
struct Milter {
  Endpoint endpoint;
  MilterDefault when_away = MilterDefault::kTempFail;
  Duration connect_timeout = absl::Seconds(30);   // with the negotiation
  Duration command_timeout = absl::Seconds(30);   // for each answer up to DATA
  Duration content_timeout = absl::Seconds(300);  // for each answer behind it
};

// ProgramTimeouts are `timeout` of a filter program: how long it may take. What is unset is as the
// server has it (service::FilterProgramOptions).
struct ProgramTimeouts {
  std::optional<Duration> start;    // from its start to "register|ready"
  std::optional<Duration> answer;   // for the verdict about a step
  std::optional<Duration> content;  // between two pieces of a message that it has been told
  std::optional<Duration> read;     // for it to read what it is told
};

// Proc is a program that speaks the filter protocol.
struct Proc {
  std::string name;
  SourceLocation location;
  std::string command;
  std::string user;
  std::string group;
  std::string chroot;
  ProgramTimeouts timeouts;
};

struct MdaWrapper {
  std::string name;
  std::string command;  // a format; %{mda} is the inner command
  SourceLocation location;
};

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

struct Config {
  std::string file_name;
  std::vector<TableDeclaration> tables;
  std::vector<Pki> pkis;
  std::vector<CertificateAuthority> cas;
  std::vector<Listener>
      listeners;  // in file order; the local socket stands here only where it was written
  std::vector<Action> actions;
  std::vector<Rule> rules;
  std::vector<Filter> filters;
  std::vector<Proc> procs;
  std::vector<Milter> milters;
  std::vector<MdaWrapper> wrappers;

  SmtpSettings smtp;
  QueueSettings queue;
  SrsSettings srs;
  std::vector<Duration> bounce_warn_intervals = {absl::Hours(4)};
  int64_t mta_max_deferred = 100;
  MtaLimits mta_limits;
  MtaTimeouts mta_timeouts;
  std::vector<DomainMtaLimits> mta_domain_limits;
  // Each mta, mda and scheduler limit that was written, for what is said of those without effect.
  std::vector<WrittenLimit> written_limits;
  MdaLimits mda_limits;
  SchedulerLimits scheduler_limits;
  std::string admd;  // empty: the server's name
  SourceLocation admd_location;

  std::string mailname;  // empty: /etc/mail/mailname, then the host's name
  std::string spool;     // empty: the daemon's default
  SourceLocation spool_location;
  // control_socket is where `control socket` wants the operator's socket; empty: in the spool.
  std::string control_socket;
  SourceLocation control_location;
  std::string libexec;        // empty: the usual places alone
  std::string resolver_zone;  // path of a zone file; empty: the network's DNS
  SourceLocation resolver_location;

  // Each returns the index of the item with that name (pkis: any case), or kNoIndex.
  TableId FindTable(std::string_view name) const;
  int FindPki(std::string_view name) const;
  int FindCa(std::string_view name) const;
  int FindAction(std::string_view name) const;
  int FindFilter(std::string_view name) const;
};

}  // namespace postern::policy
