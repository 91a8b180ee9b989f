// LocalTarget: where and as whom a local delivery is made. The server's composition answers this
// from the configuration, so that the deliverer knows neither rules nor formats.
#pragma once

#include <optional>
#include <string>

#include "lib/core/base/status.h"
#include "lib/core/policy/shell_command.h"
#include "lib/core/queue/envelope.h"
#include "lib/rt/files.h"

namespace postern::deliver {

struct LocalTarget {
  enum class Kind : uint8_t {
    kMaildir,  // into the Maildir at `path`
    kMbox,     // append to the file at `path`
    kNowhere,  // accepted and dropped: the null destination of an alias
    kProgram,  // to the standard input of `command`
    kLmtp,     // to a server; service/relay does that
  };
  Kind kind = Kind::kMaildir;
  std::string path;   // absolute, variables filled in
  bool junk = false;  // mail marked as spam goes to the folder Junk
  // in_mail_spool: the folder of `path` is the system's (/var/mail). Its mailboxes and their locks
  // are made with our own rights, and the mailbox is then given to run_as: users may not make files
  // there.
  bool in_mail_spool = false;
  // run_as is the account whose file system rights are used; unset: our own (an unprivileged
  // server).
  std::optional<rt::Credentials> run_as;
  // For kProgram, and for every other kind where `wrapped` is set.
  policy::ShellCommand command;
  // wrapped: `command` is the action's wrapper, which is given the message first; what it hands
  // back (ProgramFor) is delivered in its place.
  bool wrapped = false;
  std::string user;  // the account of run_as, the action's `user` if it has one: USER and LOGNAME
  std::string home;  // … its home, where the program starts
};

class TargetResolver {
 public:
  virtual ~TargetResolver() = default;
  // ResolveTarget tells where `envelope` goes. It is called on the pool and may block. kNotFound:
  // the account is no more; kUnimplemented: the action is of a kind that is not delivered here;
  // kInvalidArgument: what the action says cannot be made of this recipient (each permanent);
  // anything else is temporary.
  virtual StatusOr<LocalTarget> ResolveTarget(const queue::Envelope& envelope) = 0;
  // MayWait tells whether that may wait for somebody else, a program that is asked for accounts
  // say. It is then not asked on the threads that the disk needs. Any thread; does not block.
  virtual bool MayWait(const queue::Envelope&) const { return false; }
};

}  // namespace postern::deliver
