// What LIST and LSUB answer (RFC 3501 §6.3.8, §6.3.9; RFC 5258, RFC 6154), from the names that
// there are.
#pragma once

#include <string>
#include <vector>

#include "lib/core/imap/command.h"
#include "lib/core/mailbox/mailbox.h"

namespace postern::service {

// ListLine is one answer: its text after "* ", and for RETURN (STATUS …) the mailbox whose status
// follows it (else empty).
struct ListLine {
  std::string text;
  std::string status_of;
};

// ListLines answers LIST.
std::vector<ListLine> ListLines(const imap::ListArguments& arguments,
                                const std::vector<mailbox::MailboxEntry>& entries, char separator);

// LsubLines answers LSUB.
std::vector<ListLine> LsubLines(const imap::ListArguments& arguments,
                                const std::vector<mailbox::MailboxEntry>& entries, char separator);

}  // namespace postern::service
