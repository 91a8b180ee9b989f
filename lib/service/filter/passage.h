// Passage: a message that is there already goes through a filter as if a client brought it. The
// `filter` of a relay action is asked so, about what is about to go out.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/service/filter/content_spool.h"
#include "lib/service/smtp/backend.h"
#include "lib/service/smtp/session_filter.h"

namespace postern::service {

// ContentSource gives a message piece by piece, lines in CRLF.
class ContentSource {
 public:
  virtual ~ContentSource() = default;
  // Next gives the next piece, which stays until the call after; empty: that was all.
  virtual rt::Task<StatusOr<std::string_view>> Next() = 0;
};

struct PassageRequest {
  // facts are of the session that the filter shall see: id, listener, remote, names, login. The
  // listener's options say our name. They live as long as the filter.
  const SmtpSessionFacts* facts = nullptr;
  std::string message_id;
  mail::ReversePath sender;
  std::vector<mail::ForwardPath> recipients;
  // envelopes are the ids that the recipients have in the queue, in their order: a filter is told
  // of them as it was when the message came in. Of a recipient without one no filter is told so.
  std::vector<uint64_t> envelopes;
};

struct PassageRecipient {
  mail::ForwardPath path;  // as a filter has rewritten it
  // fate is not empty for one who does not get the message: a refusal, or 250 where a filter took
  // him out.
  std::optional<mail::Reply> fate;
};

struct PassageResult {
  mail::ReversePath sender;                  // as a filter has rewritten it
  std::vector<PassageRecipient> recipients;  // those of the request, in their order
  bool content_passed = false;  // the message stands in `content` now; else nobody wanted it
  bool eight_bit = false;       // what stands there has octets above 0x7F
  // decided_by is the filter that refused or discarded all of it; for the log.
  std::string decided_by;
};

// PassMessage takes the message through `filter`: the phases connect, ehlo, mail-from, rcpt-to,
// data, the content, and commit, with the events between them; a login, if there was one, is told
// and not asked about, as nobody says a password here. What is refused in rcpt-to is one
// recipient's; elsewhere it is everybody's, as the filter's reply has it. A rewritten name of EHLO
// changes nothing; a mark as junk becomes "X-Spam: Yes" on top. A filter that fails refuses for
// now (FilterVerdict::TryLater), and so does what can only be done when a message comes in: a
// filter that adds recipients, quarantines, or sends one to another domain. Content goes to
// `content`, which bounds it: what does not fit is refused for now, too.
//
// All arguments outlive the Task. `filter` is a new one, and is done with afterwards.
rt::Task<PassageResult> PassMessage(SessionFilter* filter, PassageRequest request,
                                    ContentSource* source, ContentSpool* content);

// ReadAddressOfFilter reads the address that a filter wrote in place of another, with or without
// <>; nullopt when it is none. The empty one is one for `may_be_empty`.
std::optional<mail::Address> ReadAddressOfFilter(std::string_view text, bool may_be_empty);

}  // namespace postern::service
