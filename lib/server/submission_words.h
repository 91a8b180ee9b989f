// The words that `submit` of the control socket, and a file handed in offline, describe an envelope
// with.
#pragma once

#include <string>
#include <vector>

#include "lib/server/server.h"

namespace postern::server {

// ReadSubmission reads
//   [-f SENDER] [-l LOGIN] [-N never|success,failure,delay] [-R full|hdrs] [-V ENVID] -- RECIPIENT…
// into `*out`; kInvalidArgument says what is wrong.
Status ReadSubmission(const std::vector<std::string>& words, Submission* out);

}  // namespace postern::server
