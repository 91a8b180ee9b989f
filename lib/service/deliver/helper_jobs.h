// Deliveries as requests to the helper (rt/helper.h): made here by the server, done here by the
// helper's child, as the user.
#pragma once

#include <string>

#include "lib/rt/helper.h"
#include "lib/service/deliver/maildir_batch.h"

namespace postern::deliver {

// --- the server's side ---

// MailboxCall asks for the delivery of `delivery`, which is for a Maildir or an mbox, as its
// target's account. `*text` is filled with the message and must outlive the call's Begin.
StatusOr<rt::HelperCall> MailboxCall(const Delivery& delivery, const std::string& host_name,
                                     std::string* text);
// MailboxOutcome reads the answer.
Status MailboxOutcome(const StatusOr<std::string>& answer);

// ProgramCall asks for a program to be run as spec.run_as; `spec` outlives the call's Begin.
rt::HelperCall ProgramCall(const rt::ProcessSpec& spec);
StatusOr<rt::ProcessResult> ProgramOutcome(const StatusOr<std::string>& answer);

// --- the helper's side ---

// SpoolMailboxOf gives the account after which the mailbox is named that `request` delivers to in
// the system's mail spool; "" for every other request. Such a delivery needs the group that owns
// the spool, which may make mailboxes and locks in it.
std::string SpoolMailboxOf(std::string_view request);

// DoDelivery does it. What does not read as a request that is allowed is answered with a failure:
// only a shell with a command, as ProgramFor makes it, is run.
std::string DoDelivery(const rt::HelperTask& task);

// kMailSpool is the system's mail spool.
inline constexpr std::string_view kMailSpool = "/var/mail/";

}  // namespace postern::deliver
