// Processes: programs that we start (delivery agents, filters) and the accounts they run as.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/status.h"
#include "lib/rt/executor.h"
#include "lib/rt/files.h"

namespace postern::rt {

class Stream;

struct Account {
  std::string name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  std::string home;
};

inline constexpr int kHandBackDescriptor = 3;

struct ProcessSpec {
  std::vector<std::string> argv;         // argv[0] is an absolute path; no shell is involved
  std::vector<std::string> environment;  // "NAME=value", the whole of it
  // working directory; "/" in place of one that cannot be entered
  std::string directory;
  std::optional<Credentials> run_as;
  // root is the folder that is the program's whole file system (chroot), entered before run_as; for
  // root. Empty: none.
  std::string root;
  std::string input;  // given on standard input
  Duration time_limit = absl::Seconds(300);
  // of standard output and error together; what was written before is dropped
  size_t output_limit_bytes = 64 * 1024;
  // hand_back_limit_bytes, where it is not 0, opens descriptor kHandBackDescriptor to the program:
  // what it writes there comes back as ProcessResult::handed_back. Who writes more is ended.
  // (Processes::Run.)
  size_t hand_back_limit_bytes = 0;
  // stop ends the program before its time when it is set; null: nothing does. It is of the loop
  // that runs the program.
  Event* stop = nullptr;
};

struct ProcessResult {
  int exit_code = 0;  // when signal is 0
  int signal = 0;
  bool timed_out = false;  // or stopped
  // read_all_input is false when the program ended before it took all of the input. What lies in
  // the pipe (64 KiB) counts as taken.
  bool read_all_input = true;
  std::string output;            // its end, up to the limit
  std::string handed_back;       // ProcessSpec::hand_back_limit_bytes
  bool handed_too_much = false;  // more than that: the program was killed
};

// Conversation is a running program that one talks with: what is written goes to its standard
// input, what is read is its standard output. Its calls block: on the pool only. At most one thread
// reads and one writes at a time; End may be called beside them. It is for programs that answer
// questions; a stream of the loop would hold nobody up, but then nobody could ask from within work
// that blocks anyway (a look-up in the middle of an expansion).
class Conversation {
 public:
  // The destructor ends the program and waits for it.
  virtual ~Conversation() = default;

  // Write hands over all of `data`; kDeadlineExceeded when the program does not take it within
  // `patience`, kUnavailable when it reads no more.
  virtual Status Write(std::string_view data, Duration patience) = 0;
  // Read waits for octets and returns how many there are: 0 when the program has closed its side.
  // kDeadlineExceeded when nothing came within `patience`.
  virtual StatusOr<size_t> Read(std::span<char> into, Duration patience) = 0;
  // LastError is the last line that the program wrote to standard error, or "".
  virtual std::string LastError() = 0;
  // End kills the program and all it started; whoever waits in Read or Write comes back. Any
  // thread, idempotent.
  virtual void End() = 0;
};

// Companion is a running program whose standard input and output are a stream of a loop: one that
// is talked with while others are. It belongs to that loop.
class Companion {
 public:
  // The destructor ends the program. It does not wait: see Ended.
  virtual ~Companion() = default;
  // stream is its standard input and output, errors its standard error or null.
  virtual Stream& stream() = 0;
  virtual Stream* errors() = 0;
  // End kills the program and all that it started, and closes the streams. Idempotent.
  virtual void End() = 0;
  // Ended tells whether the program has died, and buries it then: wait for that before this object
  // goes, or the system keeps its name until the server ends.
  virtual bool Ended() = 0;
};

class Processes {
 public:
  virtual ~Processes() = default;
  // Converse starts the program of `spec` (whose input, time_limit and output_limit_bytes mean
  // nothing here) with pipes both ways. A program that is missing is told by the first Read: it
  // ends at once. Blocks for as long as the start takes: on the pool only.
  virtual StatusOr<std::unique_ptr<Conversation>> Converse(ProcessSpec spec) {
    (void)spec;
    return Unimplemented("no programs to talk with here");
  }

  // Accompany starts the program of `spec`, as Converse does, with streams of `loop`. On `loop`.
  virtual StatusOr<std::unique_ptr<Companion>> Accompany(Executor& loop, ProcessSpec spec) {
    (void)loop, (void)spec;
    return Unimplemented("no programs to talk with here");
  }

  // Run starts the program and waits for its end: that of the program, not of what it started. The
  // loop is not held up. kInternal when nobody can tell how it ended.
  virtual Task<StatusOr<ProcessResult>> Run(Executor& loop, ProcessSpec spec) = 0;

  // FindAccount looks a system account up by name; kNotFound when there is none. What it found two
  // seconds ago is good enough for it (a look-up may go through many files, or over the network).
  // Blocks: on the pool only.
  virtual StatusOr<Account> FindAccount(const std::string& name) = 0;
  // FindGroup gives the number of a system group; kNotFound when there is none. Blocks: on the pool
  // only.
  virtual StatusOr<uint32_t> FindGroup(const std::string& name) {
    (void)name;
    return NotFound("no groups here");
  }
  // FindPasswordHash gives the crypt(3) hash of a system account (the shadow file);
  // kPermissionDenied without privilege. Blocks: on the pool only.
  virtual StatusOr<std::string> FindPasswordHash(const std::string& name) = 0;
  // Self is the account this process runs as.
  virtual Account Self() = 0;
};

}  // namespace postern::rt
