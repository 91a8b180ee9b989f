// The machine's LogOutputs: standard error, a file, and the socket of a log daemon.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/core/base/status.h"
#include "lib/rt/log_output.h"

namespace postern::rt {

// OpenLogFile appends to `path`, which is made (mode 0640) where there is none, or writes to
// standard error when `path` is empty. Several processes may: a line is one write, of up to 4 KiB
// where it is a pipe or a socket. A pipe that nobody empties keeps nobody waiting.
// `by_helper` gives a descriptor where Reopen may not open the file itself (kPermissionDenied): for
// a server that has given its privileges up since. Empty: nobody can.
using LogFileOpener = std::function<StatusOr<int>(const std::string& path)>;
StatusOr<std::unique_ptr<LogOutput>> OpenLogFile(const std::string& path,
                                                 LogFileOpener by_helper = {});
// OpenLogSocket sends datagrams to the Unix socket `path`. When nobody listens there, then or
// later, each call tries again: a log daemon may be restarted.
std::unique_ptr<LogOutput> OpenLogSocket(const std::string& path);

}  // namespace postern::rt
