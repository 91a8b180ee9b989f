// What an smtpd.conf means. Parse (parse.h) makes a Config; from then on it is immutable and shared
// by all threads. What it consists of is in model_table.h, model_listener.h, model_action.h,
// model_rule.h, model_filter.h and model_settings.h.
//
// The language is smtpd.conf(5) of OpenSMTPD 7 with the same meaning for every word. Words of ours,
// none of them reserved, so that no file of OpenSMTPD changes its meaning:
//
//   listen on ... proto smtp|imap   what is spoken there (default smtp). With imap the default port
//                                   is 143, with smtps 993, and `auth [<t>]` names where logins are
//                                   checked
//   listen on ... auth pam "NAME"   logins are checked by PAM's service of that name, in a process
//                                   of its own, in place of the shadow file; auth-optional, too.
//                                   folder "/etc/postern/pam.d" behind it is where the service's
//                                   file lies, for libpam 1.4 and later (else /etc/pam.d)
//   listen on ... senders any       a login may send as anybody; senders own: as itself alone.
//                                   Without senders: not as another user of this server
//   spool "/var/spool/postern"      where the queue and our state live (OpenSMTPD compiles this in)
//   control socket "/run/x.sock"    where `postern ctl` finds the server (SPOOL/control.sock)
//   libexec "/usr/libexec/smtpd"    a folder where the programs of tables (table-TYPE) are looked
//                                   for first; below it, a TYPE may be any word
//   mailname "mail.example.org"     the server's name, in place of the first line of
//                                   /etc/mail/mailname
//   resolver zone "/path"           answers DNS questions from a zone file, for tests and machines
//                                   without a network
//   resolver timeout 5s             what one question to the network's DNS may take, 1s to 60s
//   queue retry-delay 400s          the wait after the first temporary failure of a relay; the n-th
//                                   is n^2 times as long after the message came
//   queue reserve 16M               what stays free on the spool's disk: below, mail gets 452
//   smtp limit NAME N               beside max-mails and max-rcpt: max-command-line,
//                                   max-auth-line, max-text-line (octets, K, M and G as elsewhere),
//                                   max-errors, max-refused-rcpt, max-auth-failures,
//                                   max-auth-failures-address, max-auth-failures-account,
//                                   max-auth-memory, max-auth-pam (questions to PAM at the same
//                                   time), max-idle-commands (SmtpSettings)
//   smtp timeout NAME 5m            patience with clients: command, data-init, data-block, write,
//                                   transaction, session; auth-window, in which wrong guesses of
//                                   passwords leak away, and auth-trust, how long who logged in
//                                   from an address is known there; auth-pam, PAM's (SmtpTimeouts)
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
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/time.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/model_action.h"
#include "lib/core/policy/model_base.h"
#include "lib/core/policy/model_filter.h"
#include "lib/core/policy/model_listener.h"
#include "lib/core/policy/model_rule.h"
#include "lib/core/policy/model_settings.h"
#include "lib/core/policy/model_table.h"

namespace postern::policy {

struct Config {
  std::string file_name;
  std::vector<TableDeclaration> tables;
  std::vector<Pki> pkis;
  std::vector<CertificateAuthority> cas;
  // in file order; the local socket stands here only where it was written
  std::vector<Listener> listeners;
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
  std::optional<Duration> resolver_timeout;  // of a question; unset: resolve::kQuestionTimeout

  // Each returns the index of the item with that name (pkis: any case), or kNoIndex.
  TableId FindTable(std::string_view name) const;
  int FindPki(std::string_view name) const;
  int FindCa(std::string_view name) const;
  int FindAction(std::string_view name) const;
  int FindFilter(std::string_view name) const;
};

}  // namespace postern::policy
