#include "lib/core/smtp/server_states.h"

#include "lib/core/base/strings.h"

namespace postern::smtp {
namespace {

struct Verb {
  std::string_view name;
  Command command;
};

constexpr Verb kVerbs[] = {
    {"RCPT", Command::kRcpt},          {"MAIL", Command::kMail},
    {"DATA", Command::kData},          {"BDAT", Command::kBdat},
    {"EHLO", Command::kEhlo},          {"QUIT", Command::kQuit},
    {"RSET", Command::kRset},          {"HELO", Command::kHelo},
    {"STARTTLS", Command::kStartTls},  {"AUTH", Command::kAuth},
    {"NOOP", Command::kNoop},          {"VRFY", Command::kVrfy},
    {"HELP", Command::kHelp},          {"EXPN", Command::kUnimplemented},
    {"ETRN", Command::kUnimplemented}, {"TURN", Command::kUnimplemented},
    {"SEND", Command::kUnimplemented}, {"SOML", Command::kUnimplemented},
    {"SAML", Command::kUnimplemented}, {"GET", Command::kForeign},
    {"POST", Command::kForeign},       {"HEAD", Command::kForeign},
    {"PUT", Command::kForeign},        {"CONNECT", Command::kForeign},
    {"OPTIONS", Command::kForeign},    {"DELETE", Command::kForeign},
    {"PATCH", Command::kForeign},      {"TRACE", Command::kForeign},
    {"PRI", Command::kForeign},
};

using O = Outcome;

// One row a command, one column a state; the rows stand in the order of Command, the columns in
// that of State.
constexpr Outcome kTransitions[kCommandCount][kStateCount] = {
    // kConnecting  kRefused     kGreeted     kReady      kMail       kRcpt       kChunks
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun,
     O::kRun},  // HELO: RFC 5321 §4.1.4, resets
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // EHLO
    {O::kNotNow, O::kRefused, O::kNoHello, O::kRun, O::kNotNow, O::kNotNow,
     O::kInChunks},  // STARTTLS: RFC 3207 §4
    {O::kNotNow, O::kRefused, O::kNoHello, O::kRun, O::kNotNow, O::kNotNow,
     O::kInChunks},  // AUTH: RFC 4954 §4
    {O::kNotNow, O::kRefused, O::kNoHello, O::kRun, O::kNested, O::kNested,
     O::kInChunks},  // MAIL: RFC 5321 §4.1.4
    {O::kNotNow, O::kRefused, O::kNoHello, O::kNoMail, O::kRun, O::kRun, O::kInChunks},  // RCPT
    {O::kNotNow, O::kRefused, O::kNoHello, O::kNoMail, O::kNoRcpt, O::kRun,
     O::kInChunks},  // DATA: RFC 3030 §3
    {O::kNotNow, O::kSwallow, O::kSwallow, O::kSwallow, O::kSwallow, O::kRun,
     O::kRun},                                                               // BDAT: RFC 3030 §2
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // RSET: at any time
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // NOOP: at any time
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // VRFY: at any time
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // HELP: at any time
    {O::kNotNow, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},      // QUIT: at any time
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // EXPN and others: 502
    {O::kRun, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},         // HTTP: close
    {O::kNotNow, O::kRefused, O::kRun, O::kRun, O::kRun, O::kRun, O::kRun},  // unknown: 500
};

}  // namespace

Command FindCommand(std::string_view verb) {
  for (const Verb& row : kVerbs) {
    if (EqualsIgnoreCase(verb, row.name)) return row.command;
  }
  return Command::kUnknown;
}

std::string_view CommandName(Command command) {
  if (command >= Command::kUnimplemented) return "?";
  for (const Verb& row : kVerbs) {
    if (row.command == command) return row.name;
  }
  return "?";
}

Outcome Transition(Command command, State state) {
  return kTransitions[static_cast<int>(command)][static_cast<int>(state)];
}

}  // namespace postern::smtp
