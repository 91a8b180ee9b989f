// Listing: from the names that are there and the subscribed ones to the lines of LIST.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "lib/core/mailbox/mailbox.h"

namespace postern::mailbox {

// BuildListing adds the levels above (as not existing), INBOX, the subscribed names, who has
// children, and what each is for; INBOX first, then by name.
std::vector<MailboxEntry> BuildListing(const std::set<std::string>& names,
                                       const std::set<std::string>& subscribed, char separator);

}  // namespace postern::mailbox
