// SessionFilter: what looks at an SMTP session phase by phase and may end it, refuse a step, change
// an argument, mark mail as junk, and read and change the content: the `filter` of a listener.
//
// There is one kind of filter, whoever wrote it: those of the language, programs, milters, and the
// functions of an embedding program are all SessionFilters, and a chain of them is one as well
// (service/filter/filter_chain.h). A filter says what it cares for; it is not troubled, and costs
// nothing, where it does not.
//
//   Ask      a step is about to be taken: may it? The session waits for the answer.
//   Report   something has happened. Nobody waits.
//   Content  the message flows through: what the filter writes on is what the next one gets.
//
// A message goes: kMailFrom, kRcptTo…, kData, then for those that want content BeginContent,
// Content…, EndContent, and at last kCommit. When it is broken off in between, AbortContent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/core/mail/envelope.h"
#include "lib/core/mail/reply.h"
#include "lib/rt/task.h"

namespace postern::service {

struct SmtpSessionFacts;

// SmtpPhase is a moment in which filters are asked: before the step that it names is taken.
enum class SmtpPhase : uint8_t {
  kConnect,
  kHelo,
  kEhlo,
  kStartTls,
  kAuth,
  kMailFrom,
  kRcptTo,
  kData,
  kCommit,
  kRset,
  kNoop,
  kQuit,
  kOther,  // any other command, those that nobody knows included
};
inline constexpr int kSmtpPhaseCount = 13;

// SmtpPhaseName gives the word of the language and of the filter protocol: "connect", "mail-from".
std::string_view SmtpPhaseName(SmtpPhase phase);

// PhaseBit makes the bit of a phase in what SessionFilter::phases gives.
constexpr uint32_t PhaseBit(SmtpPhase phase) { return 1u << static_cast<unsigned>(phase); }
inline constexpr uint32_t kAllPhases = (1u << kSmtpPhaseCount) - 1;

// SessionEvent is something that has happened in a session. A FilterReport says what of it is set.
enum class SessionEvent : uint8_t {
  kLinkConnect,     // facts.local, remote, reverse_name
  kLinkGreeting,    // text: our name
  kLinkIdentify,    // text: the name given; facts.extended
  kLinkTls,         // facts.tls
  kLinkAuth,        // text: the user, result
  kLinkDisconnect,  // nothing
  kTxReset,         // message_id: the transaction is over
  kTxBegin,         // message_id
  kTxMail,          // message_id, result, address
  kTxRcpt,          // message_id, result, address
  kTxEnvelope,      // message_id, number: the last 32 bits of the envelope's id in the queue
  kTxData,          // message_id, result
  kTxCommit,        // message_id, number: octets
  kTxRollback,      // message_id
  kProtocolClient,  // text: a line; what is secret is "********". Not the lines of a message
  kProtocolServer,  // text: a line
  kFilterReport,    // filter, text: what a filter tells
  kFilterResponse,  // phase, text: "proceed", "reject|550 no"
  kTimeout,         // nothing
};
inline constexpr int kSessionEventCount = 19;

// SessionEventName gives the word of the filter protocol: "link-connect", "tx-mail".
std::string_view SessionEventName(SessionEvent event);

constexpr uint32_t EventBit(SessionEvent event) { return 1u << static_cast<unsigned>(event); }
inline constexpr uint32_t kAllEvents = (1u << kSessionEventCount) - 1;

enum class StepResult : uint8_t { kOk, kPermFail, kTempFail };

// FilterReport is lent for the time of the call.
struct FilterReport {
  SessionEvent event = SessionEvent::kLinkConnect;
  const SmtpSessionFacts* facts = nullptr;
  StepResult result = StepResult::kOk;
  SmtpPhase phase = SmtpPhase::kConnect;  // kFilterResponse
  bool is_builtin = false;                // kFilterReport: the filter is one of the language
  uint64_t number = 0;
  std::string_view message_id = {};
  std::string_view text = {};
  std::string_view filter = {};
  const mail::Address* address = nullptr;
};

// FilterQuestion is what is asked about. It is lent until the answer is there.
struct FilterQuestion {
  SmtpPhase phase = SmtpPhase::kConnect;
  const SmtpSessionFacts* facts = nullptr;
  const mail::Address* sender = nullptr;     // from kMailFrom on
  const mail::Address* recipient = nullptr;  // in kRcptTo
  // With their parameters: as `sender` and `recipient`.
  const mail::ReversePath* reverse_path = nullptr;
  const mail::ForwardPath* forward_path = nullptr;
  // argument: the name in kHelo and kEhlo, the mechanism and initial response in kAuth ("PLAIN
  // AGEAYg=="; of a mechanism other than PLAIN who it is, in base64, or "="), the whole line in
  // kOther.
  std::string_view argument = {};
  std::string_view message_id = {};  // kMailFrom to kCommit
  // In kAuth: who logs in, as the client says, and nobody has looked at yet.
  std::string_view login = {};
};

// FilterChanges is what a filter wants changed of a message's envelope, at the end of its content.
struct FilterChanges {
  std::vector<mail::ForwardPath> add_recipients;
  std::vector<mail::Address> remove_recipients;
  bool change_sender = false;
  mail::ReversePath sender;
  bool quarantine = false;  // the message is kept in the queue and delivered when it is released
  std::string quarantine_reason;

  bool empty() const {
    return add_recipients.empty() && remove_recipients.empty() && !change_sender && !quarantine;
  }
  // Add puts what a later filter wants behind what this says.
  void Add(FilterChanges later);
};

struct FilterVerdict {
  enum class Kind : uint8_t {
    kProceed,
    kReject,      // the step is refused with `reply`; 421 disconnects
    kDisconnect,  // with `reply`
    kRewrite,     // the step is taken with `argument` in place of what the client said
    kDiscard,     // at the end of content and in kCommit: the client hears 250, and nothing is kept
  };
  Kind kind = Kind::kProceed;
  bool junk = false;  // beside kProceed and kRewrite: the mail is marked. From the end of content
                      // on it is too late, as the mark stands in front: a filter writes it itself
  bool last = false;  // beside kProceed: no later filter of the chain is asked in this phase
  mail::Reply reply;  // of kReject and kDisconnect
  std::string argument;   // of kRewrite: a name, or an address with or without <>
  std::string filter;     // which one decided, for the log
  FilterChanges changes;  // of EndContent, beside kProceed

  static FilterVerdict Proceed() { return {}; }
  // TryLater refuses for now: what a filter that cannot answer leads to.
  static FilterVerdict TryLater(std::string_view filter);
};

// ContentSink takes the content of a message.
class ContentSink {
 public:
  virtual ~ContentSink() = default;
  // Write takes all of `octets`, which must stay unchanged until the Task ends. Not to end it is
  // back-pressure: the client is not read meanwhile. After an error nothing more is written.
  virtual rt::Task<Status> Write(std::string_view octets) = 0;
};

// SessionFilter is one session's. All calls come on the session's loop; of those that give a Task
// one at a time, the others at any time. It may be destroyed at any time when no Task runs.
class SessionFilter {
 public:
  virtual ~SessionFilter() = default;

  // phases and events say what Ask and Report are called for, as bits. They do not change during
  // the session.
  virtual uint32_t phases() const { return kAllPhases; }
  virtual uint32_t events() const { return 0; }
  // wants_content tells whether messages go through it.
  virtual bool wants_content() const { return false; }
  // name is for logs and reports.
  virtual std::string_view name() const { return ""; }

  bool Wants(SmtpPhase phase) const { return (phases() & PhaseBit(phase)) != 0; }
  bool Wants(SessionEvent event) const { return (events() & EventBit(event)) != 0; }

  // Ask gives the verdict for this phase.
  virtual rt::Task<FilterVerdict> Ask(FilterQuestion question) = 0;

  // Report tells what has happened. It does not wait and does not throw but for want of memory.
  virtual void Report(const FilterReport& report) { (void)report; }

  // BeginContent begins a message, which is about to come: our own header fields first, then what
  // the client sends, dots unstuffed, lines in CRLF. `next`, which outlives the message, takes what
  // the filter gives instead. `question` lives until EndContent or AbortContent.
  virtual void BeginContent(const FilterQuestion& question, ContentSink* next) {
    (void)question;
    next_ = next;
  }
  // Content takes the next piece, cut anywhere, which must stay unchanged until the Task ends. The
  // error is that of `next`. A filter that refuses the message, or fails, swallows the rest and
  // says so in EndContent.
  virtual rt::Task<Status> Content(std::string_view piece) {
    Status written = co_await next_->Write(piece);
    co_return written;
  }
  // EndContent ends the message: what the filter held back is written to `next` before it answers.
  // It says kProceed, with changes or without, kReject, kDisconnect or kDiscard. An error of `next`
  // is left to the one who gave it.
  virtual rt::Task<FilterVerdict> EndContent() { co_return FilterVerdict::Proceed(); }
  // AbortContent says that the message that was begun will not be ended. It does not wait. Between
  // messages it does nothing.
  virtual void AbortContent() {}

 private:
  ContentSink* next_ = nullptr;
};

}  // namespace postern::service
