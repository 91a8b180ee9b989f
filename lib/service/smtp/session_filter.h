// SessionFilter: what looks at an SMTP session phase by phase and may end it, refuse a step, change
// an argument or mark mail as junk: the `filter` of a listener.
#pragma once

#include <cstdint>
#include <string>

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
};

// FilterQuestion is what is asked about. It is lent until the answer is there.
struct FilterQuestion {
  SmtpPhase phase = SmtpPhase::kConnect;
  const SmtpSessionFacts* facts = nullptr;
  const mail::Address* sender = nullptr;     // from kMailFrom on
  const mail::Address* recipient = nullptr;  // in kRcptTo
};

struct FilterVerdict {
  enum class Kind : uint8_t {
    kProceed,
    kReject,      // the step is refused with `reply`; 421 disconnects
    kDisconnect,  // with `reply`
    kRewrite,     // the step is taken with `argument` in place of what the client said
  };
  Kind kind = Kind::kProceed;
  bool junk = false;     // beside kProceed and kRewrite: the mail is marked
  mail::Reply reply;     // of kReject and kDisconnect
  std::string argument;  // of kRewrite: a name, or an address with or without <>
  std::string filter;    // which one decided, for the log
};

// SessionFilter is one session's. Asked on the session's loop, one question at a time.
class SessionFilter {
 public:
  virtual ~SessionFilter() = default;
  // Ask gives the verdict of the whole chain for this phase.
  virtual rt::Task<FilterVerdict> Ask(FilterQuestion question) = 0;
};

}  // namespace postern::service
