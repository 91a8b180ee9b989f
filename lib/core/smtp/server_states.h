// The states of an SMTP server session and what each command may do in them.
//
// Theory of operation. A session is in one State. A command line is looked up in one table, by
// (command, state); the cell says what happens: kRun hands it to its handler, everything else is a
// refusal with its reply. A handler that succeeds may move the session to another state; one that
// fails leaves it where it was, except at the end of data, after which there is no transaction
// whatever happened. Octets that are not command lines (a text by DATA, a chunk by BDAT, SASL
// responses) are not commands and do not come here: the session's Mode tells them apart, and they
// start and end inside one state.
//
//      kConnecting ──accept──> kGreeted ──EHLO/HELO──> kReady ──MAIL──> kMail ──RCPT──> kRcpt
//      ──DATA──> (text) ──> kReady
//           │ refuse                ^                    ^                              │
//           v                       │ TLS established    │ RSET, EHLO, refusals         └─BDAT─>
//           kChunks ──LAST──> kReady
//        kRefused                   └────────────────────┴─── from any of them
//
// A BDAT outside kRcpt and kChunks is refused, but the octets that it announced follow all the same
// (RFC 3030 §2): the cell says kSwallow, and the session reads over them before it refuses.
#pragma once

#include <cstdint>
#include <string_view>

namespace postern::smtp {

enum class State : uint8_t {
  kConnecting,  // the driver has not said whether to greet
  kRefused,     // greeted with 554: QUIT is all there is (RFC 5321 §3.1)
  kGreeted,     // no EHLO or HELO yet, or none since TLS
  kReady,       // no transaction
  kMail,        // MAIL was accepted, no recipient yet
  kRcpt,        // at least one recipient was accepted
  kChunks,      // between two BDAT
};
inline constexpr int kStateCount = 7;

enum class Command : uint8_t {
  kHelo,
  kEhlo,
  kStartTls,
  kAuth,
  kMail,
  kRcpt,
  kData,
  kBdat,
  kRset,
  kNoop,
  kVrfy,
  kHelp,
  kQuit,
  kUnimplemented,  // in RFC 5321 or its ancestors, and not here: EXPN, ETRN, TURN, SEND, SOML, SAML
  kForeign,        // a word of HTTP
  kUnknown,
};
inline constexpr int kCommandCount = 16;

// Outcome is a cell of the table.
enum class Outcome : uint8_t {
  kRun,       // to the handler
  kSwallow,   // BDAT out of place: read over its octets, then 503
  kRefused,   // 503: the session was refused at its start
  kNoHello,   // 503: EHLO or HELO first
  kNoMail,    // 503: MAIL first
  kNoRcpt,    // 503: RCPT first
  kNested,    // 503: already in a transaction
  kInChunks,  // 503: BDAT … LAST or RSET first
  kNotNow,    // 503: anywhere else
};

// FindCommand knows the verbs, in either case.
Command FindCommand(std::string_view verb);
// CommandName gives the verb; "?" for those that have several or none.
std::string_view CommandName(Command command);
// Transition looks up the cell.
Outcome Transition(Command command, State state);

}  // namespace postern::smtp
