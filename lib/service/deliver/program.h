// Delivery to a program: what it is started with, and what its end means (smtpd.conf(5), mda;
// sysexits(3)).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/queue/envelope.h"
#include "lib/rt/processes.h"
#include "lib/service/deliver/local_target.h"
#include "lib/service/schedule/deliverer.h"

namespace postern::deliver {

struct ProgramOptions {
  Duration time_limit = absl::Seconds(300);  // then it is killed, and the message is tried again
  // of its output; what is told of it is the last line
  size_t max_output_bytes = 64 * 1024;
  size_t max_line_bytes = 500;  // of that line
  // what a wrapper may hand back: this many times the message, and as much more
  size_t hand_back_factor = 2;
  size_t hand_back_bytes = 1 << 20;
};

// HandBackCommand is the %{mda} of a wrapper whose action delivers to no program but to a mailbox
// or by LMTP: a simple command, which hands its standard input back to us. It marks first that it
// was run, so that an empty message is told from none.
std::string_view HandBackCommand();
// HandedBack takes the mark off what came back; nullopt when the command was not run.
std::optional<std::string_view> HandedBack(const rt::ProcessResult& end);
// HandBackLimit gives how much may come back for a message of `size` octets.
size_t HandBackLimit(size_t size, const ProgramOptions& options);

// ProgramFor gives the process that delivers `envelope` to `target`, which is a kProgram: `sh -c`
// with the target's command, started in its home as its account. The environment is PATH, DOMAIN,
// HOME, ORIGINAL_RECIPIENT, RECIPIENT, SHELL, LOCAL, LOGNAME, USER, SENDER (empty for the null
// sender), EXTENSION where there is a sub-address, and the variables of the command. No value holds
// a control octet, nor begins like a function of a shell's ("() {", CVE-2014-6271). `input` is
// left empty.
rt::ProcessSpec ProgramFor(const queue::Envelope& envelope, const LocalTarget& target,
                           const ProgramOptions& options);

// ProgramOfOperator gives the process that `command` of the configuration is, one that serves the
// server and no single message: a filter. Started in / with a PATH and nothing else.
rt::ProcessSpec ProgramOfOperator(const policy::ShellCommand& command);

// IsProgramOfMail tells whether `argv` is of the form that ProgramFor makes.
bool IsProgramOfMail(const std::vector<std::string>& argv);

// ProgramResult tells what the end of the program means: 0 is delivered, 71 (EX_OSERR) and 75
// (EX_TEMPFAIL) are temporary failures, another exit code a permanent one. A program that was
// killed, by its time limit or otherwise, and one that ended well without taking the whole message,
// have not said anything about it: temporary. The text is its last line of output, or says how it
// ended.
schedule::DeliveryResult ProgramResult(const queue::Envelope& envelope,
                                       const rt::ProcessResult& end, const ProgramOptions& options);

// LastLine gives the last line of `output` that is not empty, in printable ASCII, at most `limit`
// octets of it.
std::string LastLine(std::string_view output, size_t limit);

}  // namespace postern::deliver
