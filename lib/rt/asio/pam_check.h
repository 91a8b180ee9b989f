// PAM itself: libpam and its modules, which are whatever the machine's administrator put there.
// They may take minutes, start programs, exit, crash, or bring libraries along that must not meet
// ours. So this is for a process that does nothing else and ends afterwards (helper_pam.h).
#pragma once

#include "lib/core/base/status.h"
#include "lib/rt/pam.h"

namespace postern::rt {

// AskPam loads libpam, authenticates `question.user` by the question's password and asks whether
// the account may be used. The password answers every prompt that hides what is typed; a prompt
// that shows it is for the user's name. What PAM and its modules answer is a refusal with a reason
// when it means the user: a wrong password, an unknown user, an expired account or password. The
// rest is an error: kUnavailable, a module that cannot ask whom it asks; kAborted, a failure that
// may be for the password's sake; kFailedPrecondition, no libpam here or a service that cannot be
// started.
//
// Refused without a question are root, empty passwords and those with NUL or of more than 511
// octets (PAM's own bound); and behind it a user of whom a module made another one. No session is
// opened. The delays that modules ask for after a failure (pam_fail_delay) are not slept here: the
// server has its own (server/pam_logins.h), which keep no process.
StatusOr<PamAnswer> AskPam(const PamQuestion& question);

}  // namespace postern::rt
