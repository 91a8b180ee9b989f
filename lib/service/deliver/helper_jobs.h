// Deliveries as requests to the helper (rt/helper.h): made here by the server, done here by the
// helper's child, as the user.
#pragma once

#include <string>

#include "lib/rt/helper.h"
#include "lib/service/deliver/maildir_batch.h"

namespace postern::deliver {

// --- the server's side ---

// kMaxMaildirsOfCall deliveries at most are asked for by one call, and kMaxMaildirBytesOfCall
// octets of messages, unless one alone has more: what a process and its syncs cost is shared by
// them.
inline constexpr size_t kMaxMaildirsOfCall = 64;
inline constexpr size_t kMaxMaildirBytesOfCall = 4 << 20;

// MaildirCall asks for `deliveries`, kMaxMaildirsOfCall at most, which are all for Maildirs and for
// one account, as that account: one MaildirBatch. `*text` is filled with the messages and must
// outlive the call's Begin.
StatusOr<rt::HelperCall> MaildirCall(const std::vector<Delivery*>& deliveries,
                                     const std::string& host_name, std::string* text);
// MaildirOutcomes reads the answer: the outcome of each of `count` deliveries, in their order.
std::vector<Status> MaildirOutcomes(const StatusOr<std::string>& answer, size_t count);

// MboxCall asks for the delivery of `delivery`, which is for an mbox, as its target's account; text
// as above.
StatusOr<rt::HelperCall> MboxCall(const Delivery& delivery, std::string* text);
Status MboxOutcome(const StatusOr<std::string>& answer);

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
