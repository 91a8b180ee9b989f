// Whose address a sender is: what a login may send as where the listener has no `senders` table.
#pragma once

#include <string>

#include "lib/core/mail/address.h"
#include "lib/core/policy/expansion.h"
#include "lib/server/local_targets.h"
#include "lib/server/runtime.h"

namespace postern::server {

enum class SenderOwner {
  kLogin,      // the login's own: it is the login, or its mail goes where the login's mail goes
  kElsewhere,  // of a domain whose mail the rules do not deliver here
  kAnother,    // of a domain of ours, and not the login's
};

// OwnMailContext is how the rules see mail for a login's own address: handed in on this machine by
// that login.
policy::EnvelopeContext OwnMailContext(const std::string& user, mail::Address address);

// OwnerOf tells whose `sender` is, seen from `user` (a login without a domain is a user of this
// server). The rules say it, with aliases, virtual users and accounts: an address that is delivered
// into the login's mailbox is the login's, and one that goes to several people is each one's. What
// follows the sub-address delimiter does not count. An error is a temporary failure. Blocks.
StatusOr<SenderOwner> OwnerOf(const Runtime& runtime, policy::AccountSource& accounts,
                              LocalTargets& targets, const std::string& user,
                              const mail::Address& sender);

// IsLogin tells whether `sender` is the login itself, which needs no table: then OwnerOf is kLogin.
bool IsLogin(const Runtime& runtime, const std::string& user, const mail::Address& sender);

}  // namespace postern::server
