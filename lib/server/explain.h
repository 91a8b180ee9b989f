// What `postern explain` says: for a connection, an envelope and perhaps a message, which listener,
// rule, expansion and action applies and why. The server's own session (core/smtp) talks with its
// own gate (MailGate) under the configuration in force; only the network is missing, a login is
// taken on trust, and nothing is sent or stored.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/policy/diagnostic.h"
#include "lib/core/policy/expansion.h"
#include "lib/core/policy/trace.h"
#include "lib/rt/task.h"
#include "lib/rt/world.h"
#include "lib/server/explain_filters.h"
#include "lib/server/server.h"

namespace postern::server {

struct ExplainQuestion {
  std::string sender;                       // of MAIL FROM, without brackets; "": the null sender
  std::vector<std::string> recipients;      // of RCPT TO, likewise; at least one
  std::optional<IpAddress> client;          // unset: the local socket
  std::optional<std::string> reverse_name;  // unset: asked of the DNS, when a rule wants it
  std::string helo = "client.invalid";
  std::string login;  // who logs in; the password counts as right. "": nobody does
  bool tls = false;   // STARTTLS is used where it is offered
  // Which listener: by its line, its port or its tag, in that order; all unset: the first one that
  // fits the client, the login and TLS.
  int listener_line = 0;
  int port = 0;
  std::string tag;
  // ask_filters starts the programs and asks the milters of the listener's filter as well: they see
  // a session. Filters of the language are always asked.
  bool ask_filters = false;
  std::optional<std::string> message;  // lines in LF or CRLF
};

struct ExplainedDestination {
  policy::Destination destination;
  std::string where;  // "~/Maildir of bob: /home/bob/Maildir", "by the MX records of x.tld"
};

struct ExplainedRecipient {
  std::string address;
  std::string reply;               // the server's, without CRLF; "" when it was not asked
  std::string reason;              // what the log would say of a refusal
  std::vector<std::string> notes;  // policy::Expansion::notes
  policy::Trace trace;
  std::vector<ExplainedDestination> destinations;
};

// Exchange is a command of the client's and the server's reply, lines of one text.
struct Exchange {
  std::string command;  // "" for the greeting
  std::string reply;
};

struct Explanation {
  policy::Diagnostics diagnostics;         // of the configuration; with an error nothing follows
  std::string problem;                     // why the question cannot be answered; "" when it can
  std::shared_ptr<const Runtime> runtime;  // null after an error
  int listener = policy::kNoIndex;         // index into Config::listeners; kNoIndex: the socket
  std::string listener_why;
  bool is_local_socket = false;
  std::string reverse_name;
  int64_t day = 0;  // DayOf the time of the answer
  std::vector<Exchange> dialog;
  std::vector<FilterStep> filter_steps;  // what each filter that was asked said, in its order
  bool no_login = false;                 // the login was asked for and could not be had
  std::vector<ExplainedRecipient> recipients;
  bool has_message = false;
  bool accepted = false;  // all recipients, and the message if there is one
};

// Explain answers `question` under the configuration of `server`. A task of the main loop; it
// blocks for files and accounts.
rt::Task<Explanation> Explain(rt::World* world, const ServerOptions* server,
                              ExplainQuestion question);

// ExplanationText is for people: lines of at most 80 columns where the names allow it.
std::string ExplanationText(const Explanation& explanation, const ExplainQuestion& question);

// ExplanationJson is for programs; its members are described in include/postern/config.h.
std::string ExplanationJson(const Explanation& explanation, const ExplainQuestion& question);

}  // namespace postern::server
