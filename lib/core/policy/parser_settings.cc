// The settings of the parts: smtp, queue, srs, mta, mda, scheduler, bounce, admd, and ours
// (model.h).

#include <iterator>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/policy/parser.h"
#include "lib/core/policy/shell_command.h"

namespace postern::policy {
namespace {

constexpr int64_t kMaxLimit = 2'147'483'647;
constexpr Duration kMaxResolverTimeout = absl::Seconds(60);

template <typename Settings>
struct NumberRow {
  const char* word;
  int64_t Settings::*member;
  int64_t minimum = 0;
  int64_t maximum = kMaxLimit;
  bool octets = false;  // a size: 4K will do for 4096
};

constexpr NumberRow<SmtpSettings> kSmtpLimits[] = {
    {"max-mails", &SmtpSettings::max_mails_per_session, 1},
    {"max-rcpt", &SmtpSettings::max_recipients, 1},
    // What a session keeps of one line is memory that any client may ask for.
    {"max-command-line", &SmtpSettings::max_command_line_bytes, 512, 1 << 20, true},
    {"max-auth-line", &SmtpSettings::max_auth_line_bytes, 512, 1 << 20, true},
    {"max-text-line", &SmtpSettings::max_text_line_bytes, 1000, kMaxLimit, true},
    {"max-errors", &SmtpSettings::max_errors, 1},
    {"max-refused-rcpt", &SmtpSettings::max_refused_recipients, 1},
    {"max-auth-failures", &SmtpSettings::max_auth_failures, 1},
    {"max-auth-failures-address", &SmtpSettings::max_auth_failures_address, 1},
    {"max-auth-failures-account", &SmtpSettings::max_auth_failures_account, 1},
    {"max-auth-memory", &SmtpSettings::max_auth_memory, 100, 10'000'000},
    {"max-auth-pam", &SmtpSettings::max_auth_pam, 1, 256},
    {"max-idle-commands", &SmtpSettings::max_idle_commands, 1},
};

template <typename Timeouts>
struct TimeoutRow {
  const char* word;
  std::optional<Duration> Timeouts::*member;
};

constexpr TimeoutRow<SmtpTimeouts> kSmtpTimeouts[] = {
    {"auth-window", &SmtpTimeouts::auth_window},
    {"auth-trust", &SmtpTimeouts::auth_trust},
    {"auth-pam", &SmtpTimeouts::auth_pam},
    {"command", &SmtpTimeouts::command},
    {"data-init", &SmtpTimeouts::data_init},
    {"data-block", &SmtpTimeouts::data_block},
    {"write", &SmtpTimeouts::write},
    {"transaction", &SmtpTimeouts::transaction},
    {"session", &SmtpTimeouts::session},
};

constexpr TimeoutRow<MtaTimeouts> kMtaTimeouts[] = {
    {"connect", &MtaTimeouts::connect},
    {"greeting", &MtaTimeouts::greeting},
    {"helo", &MtaTimeouts::helo},
    {"starttls", &MtaTimeouts::starttls},
    {"auth", &MtaTimeouts::auth},
    {"mail-from", &MtaTimeouts::mail_from},
    {"rcpt-to", &MtaTimeouts::rcpt_to},
    {"data-init", &MtaTimeouts::data_init},
    {"data-block", &MtaTimeouts::data_block},
    {"data-end", &MtaTimeouts::data_end},
    {"rset", &MtaTimeouts::rset},
    {"quit", &MtaTimeouts::quit},
};

constexpr NumberRow<MtaLimits> kMtaLimits[] = {
    {"max-conn-per-host", &MtaLimits::max_conn_per_host, 1},
    {"max-conn-per-route", &MtaLimits::max_conn_per_route, 1},
    {"max-conn-per-source", &MtaLimits::max_conn_per_source, 1},
    {"max-conn-per-connector", &MtaLimits::max_conn_per_connector, 1},
    {"max-conn-per-relay", &MtaLimits::max_conn_per_relay, 1},
    {"max-conn-per-domain", &MtaLimits::max_conn_per_domain, 1},
    {"conn-delay-host", &MtaLimits::conn_delay_host},
    {"conn-delay-route", &MtaLimits::conn_delay_route},
    {"conn-delay-source", &MtaLimits::conn_delay_source},
    {"conn-delay-connector", &MtaLimits::conn_delay_connector},
    {"conn-delay-relay", &MtaLimits::conn_delay_relay},
    {"conn-delay-domain", &MtaLimits::conn_delay_domain},
    {"reconn-delay-route", &MtaLimits::reconn_delay_route},
    {"session-mail-max", &MtaLimits::session_mail_max, 1},
    {"session-transaction-delay", &MtaLimits::session_transaction_delay},
    {"session-keepalive", &MtaLimits::session_keepalive},
    {"max-failures-per-session", &MtaLimits::max_failures_per_session, 1},
    {"task-hiwat", &MtaLimits::task_hiwat, 1},
    {"task-lowat", &MtaLimits::task_lowat},
    {"task-release", &MtaLimits::task_release, 1},
    {"max-reply-line", &MtaLimits::max_reply_line_bytes, 512, 1 << 20, true},
};

constexpr NumberRow<MdaLimits> kMdaLimits[] = {
    {"max-session", &MdaLimits::max_session, 1},
    {"max-session-per-user", &MdaLimits::max_session_per_user, 1},
    {"task-hiwat", &MdaLimits::task_hiwat, 1},
    {"task-lowat", &MdaLimits::task_lowat},
    {"task-release", &MdaLimits::task_release, 1},
};

constexpr NumberRow<SchedulerLimits> kSchedulerLimits[] = {
    {"max-inflight", &SchedulerLimits::max_inflight, 1},
    {"max-evp-batch-size", &SchedulerLimits::max_evp_batch_size, 1},
    {"max-msg-batch-size", &SchedulerLimits::max_msg_batch_size, 1},
    {"max-schedule", &SchedulerLimits::max_schedule, 1},
};

// FindRow returns the row of the next word, or null with the words there are in `*known`.
template <typename Rows>
auto FindRow(const Token& token, const Rows& rows, std::vector<std::string>* known)
    -> const std::decay_t<decltype(rows[0])>* {
  for (const auto& row : rows) {
    known->emplace_back(row.word);
    if (token.IsBare(row.word)) return &row;
  }
  return nullptr;
}

// Names lists the words of `rows`: "a, b or c".
template <typename Rows>
std::string Names(const Rows& rows) {
  std::string out;
  for (const auto& row : rows) {
    const bool last = &row == std::end(rows) - 1;
    StrAppend(out, out.empty() ? "" : last ? " or " : ", ", row.word);
  }
  return out;
}

// ParseSize reads a number of octets, or one with K, M, G, T, P or E behind it (powers of 1024),
// which may have a fraction then: 1.5M.
std::optional<int64_t> ParseSize(std::string_view text) {
  int shift = 0;
  if (!text.empty()) {
    const size_t unit = std::string_view("BKMGTPE").find(AsciiToUpper(text.back()));
    if (unit != std::string_view::npos) {
      shift = static_cast<int>(unit) * 10;
      text.remove_suffix(1);
    }
  }
  constexpr size_t kMaxFractionDigits = 9;
  uint64_t fraction = 0;
  const size_t dot = text.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view digits = text.substr(dot + 1);
    const std::optional<uint64_t> billionths =
        ParseUint(StrCat(digits, std::string(kMaxFractionDigits, '0')).substr(0, 9));
    if (shift == 0 || digits.empty() || digits.size() > kMaxFractionDigits || !billionths)
      return std::nullopt;
    // Below 2^30 billionths of 2^60 at most: done in two steps so that nothing overflows.
    fraction = shift <= 30 ? (*billionths << shift) / 1'000'000'000
                           : ((*billionths << 30) / 1'000'000'000) << (shift - 30);
    text = text.substr(0, dot);
  }
  const std::optional<uint64_t> number = ParseUint(text, static_cast<uint64_t>(INT64_MAX) >> shift);
  if (!number || (*number << shift) > static_cast<uint64_t>(INT64_MAX) - fraction)
    return std::nullopt;
  return static_cast<int64_t>((*number << shift) + fraction);
}

}  // namespace

bool Parser::ExpectSize(int64_t minimum, int64_t* out, int64_t maximum) {
  const Token& size = Peek();
  if (!size.IsString() && size.kind != TokenKind::kNumber) return Unexpected("a size, like 35M");
  const std::optional<int64_t> bytes = ParseSize(size.text);
  if (!bytes || *bytes < minimum || *bytes > maximum) {
    Error(size.location, StrCat("invalid size: ", Escape(size.text, 64),
                                " (a number of octets, or one with K, M or G",
                                !bytes ? ""
                                       : StrCat("; ", *bytes < minimum ? "at least " : "at most ",
                                                *bytes < minimum ? minimum : maximum),
                                ")"));
    return false;
  }
  Take();
  *out = *bytes;
  return true;
}

bool Parser::ParseSmtp(const Token&) {
  const Token word = Peek();
  if (TakeBare("limit")) {
    if (AtLineEnd()) return Unexpected(Names(kSmtpLimits));
    while (!AtLineEnd()) {
      std::vector<std::string> known;
      const auto* row = FindRow(Peek(), kSmtpLimits, &known);
      if (row == nullptr) return Unexpected(Names(kSmtpLimits), known);
      Take();
      int64_t& value = config_.smtp.*row->member;
      const bool ok = row->octets ? ExpectSize(row->minimum, &value, row->maximum)
                                  : ExpectNumber(row->word, row->minimum, row->maximum, &value);
      if (!ok) return false;
    }
    return true;
  }
  if (TakeBare("timeout")) return ParseTimeouts(kSmtpTimeouts, &config_.smtp.timeouts);
  if (TakeBare("max-message-size")) return ExpectSize(1, &config_.smtp.max_message_bytes);
  if (TakeBare("sub-addr-delim")) {
    std::string text;
    SourceLocation at;
    if (!ExpectString("one character in quotes", &text, &at)) return false;
    if (text.size() != 1 || !IsAsciiPrintable(text[0]) || text[0] == ' ' || text[0] == '@') {
      Error(at,
            StrCat(
                "sub-addr-delim must be one character, printable and neither blank nor @: found \"",
                Escape(text, 40), "\""));
      return false;
    }
    config_.smtp.sub_address_delimiter = text[0];
    return true;
  }
  if (TakeBare("ciphers"))
    return ExpectString("a list of ciphers", &config_.smtp.ciphers, &config_.smtp.ciphers_location);
  return Unexpected("ciphers, limit, max-message-size, sub-addr-delim or timeout",
                    {"ciphers", "limit", "max-message-size", "sub-addr-delim", "timeout"});
}

template <typename Timeouts, typename Rows>
bool Parser::ParseTimeouts(const Rows& rows, Timeouts* out) {
  if (AtLineEnd()) return Unexpected(Names(rows));
  while (!AtLineEnd()) {
    std::vector<std::string> known;
    const auto* row = FindRow(Peek(), rows, &known);
    if (row == nullptr) return Unexpected(Names(rows), known);
    Take();
    Duration timeout;
    if (!ExpectDuration(StrCat("timeout ", row->word), &timeout)) return false;
    out->*row->member = timeout;
  }
  return true;
}

bool Parser::ParseQueue(const Token&) {
  const SourceLocation word_at = Peek().location;
  if (TakeBare("ttl")) return ExpectDuration("ttl delay", &config_.queue.ttl);
  if (TakeBare("retry-delay")) return ExpectDuration("retry delay", &config_.queue.retry_delay);
  if (TakeBare("reserve")) {
    int64_t bytes = 0;
    if (!ExpectSize(0, &bytes)) return false;
    config_.queue.reserve_bytes = static_cast<uint64_t>(bytes);
    return true;
  }
  if (TakeBare("compression")) {
    config_.queue.compression = true;
    config_.queue.compression_location = word_at;
    return true;
  }
  if (TakeBare("encryption")) {
    config_.queue.encryption_location = word_at;
    config_.queue.encryption = QueueEncryption::kPrompt;
    if (AtLineEnd()) return true;
    TakeBare("key");
    const SourceLocation key_at = Peek().location;
    std::string& key = config_.queue.encryption_key;
    if (!ExpectString("a key, \"stdin\" or \"-\"", &key)) return false;
    if (key == "stdin" || key == "-") {
      config_.queue.encryption = QueueEncryption::kStdin;
      key.clear();
    } else {
      if (key.size() != kQueueKeyOctets) {
        Error(key_at, StrCat("the key of the queue has ", key.size(),
                             " characters; it must have 32: `openssl rand -hex 16` makes one"));
        return true;
      }
      config_.queue.encryption = QueueEncryption::kKey;
    }
    return true;
  }
  return Unexpected("ttl, retry-delay, reserve, compression or encryption",
                    {"ttl", "retry-delay", "reserve", "compression", "encryption"});
}

bool Parser::ParseSrs(const Token& first) {
  config_.srs.location = first.location;
  if (TakeBare("key")) {
    std::string& key = TakeBare("backup") ? config_.srs.backup_key : config_.srs.key;
    SourceLocation at;
    if (!ExpectString("a secret", &key, &at)) return false;
    if (!key.empty()) return true;
    Error(at, "an empty srs key");
    return false;
  }
  if (TakeBare("ttl")) {
    const SourceLocation at = Peek().location;
    Duration ttl;
    if (!ExpectDuration("srs ttl", &ttl)) return false;
    const int64_t days = ttl / absl::Hours(24);
    if (days >= 1 && days < 1024) {  // the day number in an address has ten bits
      config_.srs.ttl_days = static_cast<int>(days);
      return true;
    }
    Error(at, "srs ttl: 1d to 1023d");
    return false;
  }
  return Unexpected("key or ttl", {"key", "ttl"});
}

bool Parser::ParseMta(const Token& first) {
  if (TakeBare("max-deferred"))
    return ExpectNumber("max-deferred", 0, kMaxLimit, &config_.mta_max_deferred);
  if (TakeBare("timeout")) return ParseTimeouts(kMtaTimeouts, &config_.mta_timeouts);
  if (!TakeBare("limit"))
    return Unexpected("limit, timeout or max-deferred", {"limit", "timeout", "max-deferred"});
  MtaLimits* limits = &config_.mta_limits;
  if (TakeBare("for")) {
    std::string domain;
    if (!ExpectBare("domain") || !ExpectString("a domain", &domain)) return false;
    domain = AsciiLower(domain);
    limits = nullptr;
    for (DomainMtaLimits& row : config_.mta_domain_limits) {
      if (row.domain == domain) limits = &row.limits;
    }
    if (limits == nullptr) {
      config_.mta_domain_limits.push_back({domain, config_.mta_limits, first.location});
      limits = &config_.mta_domain_limits.back().limits;
    }
  }
  if (AtLineEnd()) return Unexpected("a limit");
  while (!AtLineEnd()) {
    if (TakeBare("inet4")) {
      limits->family = AddressFamily::kInet4;
      continue;
    }
    if (TakeBare("inet6")) {
      limits->family = AddressFamily::kInet6;
      continue;
    }
    std::vector<std::string> known{"inet4", "inet6"};
    const auto* row = FindRow(Peek(), kMtaLimits, &known);
    if (row == nullptr)
      return Unexpected("a limit: inet4, inet6 or max-conn-per-host 10 and the like", known);
    const SourceLocation at = Take().location;
    config_.written_limits.push_back({StrCat("mta limit ", row->word), at});
    int64_t& value = limits->*row->member;
    const bool ok = row->octets ? ExpectSize(row->minimum, &value, row->maximum)
                                : ExpectNumber(row->word, row->minimum, row->maximum, &value);
    if (!ok) return false;
  }
  return true;
}

bool Parser::ParseMda(const Token& first) {
  if (TakeBare("wrapper")) {
    MdaWrapper wrapper;
    wrapper.location = first.location;
    SourceLocation at;
    if (!ExpectString("the wrapper's name", &wrapper.name) ||
        !ExpectString("a command", &wrapper.command, &at))
      return false;
    for (const MdaWrapper& other : config_.wrappers) {
      if (other.name != wrapper.name) continue;
      Error(first.location,
            StrCat("mda wrapper already declared with that name: ", Escape(wrapper.name, 80)));
      return false;
    }
    const Status status = CheckShellCommand(wrapper.command, /*is_wrapper=*/true);
    if (!status.ok()) {
      Error(at, Escape(Message(status), 300));
      return false;
    }
    config_.wrappers.push_back(std::move(wrapper));
    return true;
  }
  if (!TakeBare("limit")) return Unexpected("wrapper or limit", {"wrapper", "limit"});
  if (AtLineEnd()) return Unexpected("a limit");
  while (!AtLineEnd()) {
    std::vector<std::string> known;
    const auto* row = FindRow(Peek(), kMdaLimits, &known);
    if (row == nullptr) return Unexpected("a limit: max-session 50 and the like", known);
    config_.written_limits.push_back({StrCat("mda limit ", row->word), Take().location});
    if (!ExpectNumber(row->word, row->minimum, kMaxLimit, &(config_.mda_limits.*row->member)))
      return false;
  }
  return true;
}

bool Parser::ParseScheduler(const Token&) {
  if (!ExpectBare("limit")) return false;
  if (AtLineEnd()) return Unexpected("a limit");
  while (!AtLineEnd()) {
    std::vector<std::string> known;
    const auto* row = FindRow(Peek(), kSchedulerLimits, &known);
    if (row == nullptr) return Unexpected("a limit: max-inflight 5000 and the like", known);
    config_.written_limits.push_back({StrCat("scheduler limit ", row->word), Take().location});
    if (!ExpectNumber(row->word, row->minimum, kMaxLimit, &(config_.scheduler_limits.*row->member)))
      return false;
  }
  return true;
}

bool Parser::ParseBounce(const Token&) {
  if (!ExpectBare("warn-interval")) return false;
  std::vector<Duration> intervals;
  do {
    SkipNewlines();
    const SourceLocation at = Peek().location;
    Duration interval;
    if (!ExpectDuration("bounce delay", &interval)) return false;
    if (intervals.size() >= kMaxWarnIntervals) {
      Error(at, StrCat("bounce warn-interval: ", kMaxWarnIntervals, " delays at most"));
      return false;
    }
    intervals.push_back(interval);
  } while (TakeSymbol(",") || !AtLineEnd());
  config_.bounce_warn_intervals = std::move(intervals);
  return true;
}

bool Parser::ParseAdmd(const Token& first) {
  config_.admd_location = first.location;
  return ExpectString("the name of the administrative domain", &config_.admd);
}

bool Parser::ParseSpool(const Token&) {
  SourceLocation& at = config_.spool_location;
  if (!ExpectString("a directory", &config_.spool, &at)) return false;
  if (!config_.spool.empty() && config_.spool[0] == '/') return true;
  Error(at, StrCat("spool: the path must be absolute, found \"", Escape(config_.spool), "\""));
  return false;
}

bool Parser::ParseControl(const Token&) {
  SourceLocation& at = config_.control_location;
  if (!ExpectBare("socket")) return false;
  if (!ExpectString("the path of a socket", &config_.control_socket, &at)) return false;
  if (!config_.control_socket.empty() && config_.control_socket[0] == '/') return true;
  Error(at, StrCat("control socket: the path must be absolute, found \"",
                   Escape(config_.control_socket), "\""));
  return false;
}

bool Parser::ParseLibexec(const Token&) {
  SourceLocation at;
  if (!ExpectString("a directory", &config_.libexec, &at)) return false;
  if (!config_.libexec.empty() && config_.libexec[0] == '/') return true;
  Error(at, StrCat("libexec: the path must be absolute, found \"", Escape(config_.libexec), "\""));
  return false;
}

bool Parser::ParseMailname(const Token&) {
  SourceLocation at;
  if (!ExpectString("the server's name", &config_.mailname, &at)) return false;
  if (mail::IsValidDomainName(config_.mailname)) return true;
  Error(at, StrCat("mailname \"", Escape(config_.mailname, 80),
                   "\" is no host name, like mail.example.org"));
  return false;
}

bool Parser::ParseResolver(const Token& first) {
  SourceLocation at;
  if (TakeBare("timeout")) {
    at = Peek().location;
    Duration timeout;
    if (!ExpectDuration("resolver timeout", &timeout)) return false;
    if (timeout < absl::Seconds(1) || timeout > kMaxResolverTimeout) {
      Error(at, "resolver timeout is from 1s to 60s: no client waits longer for what it asked");
      return false;
    }
    config_.resolver_timeout = timeout;
    return true;
  }
  if (!TakeBare("zone")) return Unexpected("timeout or zone", {"timeout", "zone"});
  config_.resolver_location = first.location;
  if (!ExpectString("the path of a zone file", &config_.resolver_zone, &at)) return false;
  if (!config_.resolver_zone.empty() && config_.resolver_zone[0] == '/') return true;
  Error(at, StrCat("resolver zone: the path must be absolute, found \"",
                   Escape(config_.resolver_zone), "\""));
  return false;
}

}  // namespace postern::policy
