// Helper: what an unprivileged server has done with the rights of its users.
//
// A server that was started by root keeps, when it gives its privileges up, a second process that
// has them and does nothing but this: for each call it makes a child, the child becomes the user
// whom the call names, for good, and does one piece of work out of a short list (deliver a message,
// read a .forward or a file that one includes). The process with the privileges reads one fixed
// form from its socket and nothing else; what is in a request is looked at by the child. Besides it
// starts the programs of the configuration that run as somebody else (filters), by name: what a
// name stands for was said before the privileges went. And it has logins checked by PAM: each by a
// child of its own, which stays root, as modules ask for that.
// rt/asio/helper_process.h is the real one; a simulated machine has none.
//
// What a stranger who took over the server could ask of it: all that any user but root can do, as
// programs are run and text files read as that user; the files that the configuration named when
// the server started, and its log file to append to; to have its sockets bound to ports of mail;
// and to have the programs that the configuration named run once more, as who it said, and to be
// their only talk; to have passwords tried by the services of PAM that the configuration named, a
// few at a time. Not: to become root, to be a user in a group that he is not in (but as the
// userbase files of the start said), to read what root alone may read, to run another program than
// its users could.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/rt/files.h"
#include "lib/rt/pam.h"
#include "lib/rt/processes.h"

namespace postern::rt {

inline constexpr size_t kMaxHelperRequestBytes = 64 << 10;
// Enough for a message that a program hands back (ProcessSpec::hand_back_limit_bytes), and for what
// else it said.
inline constexpr size_t kMaxHelperAnswerBytes = 160 << 20;
inline constexpr size_t kMaxHelperHandBackBytes = kMaxHelperAnswerBytes - (4 << 20);
inline constexpr size_t kMaxHelperPairs = 1 << 20;
inline constexpr size_t kMaxHelperPrograms = 1024;
inline constexpr size_t kMaxHelperPamServices = 64;
// kMaxRunsOfProgram is how often one named program may run at the same time: one is all that is
// wanted, and one that was killed may be slow to die.
inline constexpr size_t kMaxRunsOfProgram = 4;
// kHelperPorts are those of mail: smtp, imap, submissions, submission, imaps.
inline constexpr uint16_t kHelperPorts[] = {25, 143, 465, 587, 993};

struct HelperCall {
  // Who it is done as: uid and gid. The groups are those of the account that has this uid; what
  // stands here is not read.
  Credentials who;
  std::string request;       // EncodeFields; at most kMaxHelperRequestBytes
  std::string_view payload;  // what the work reads as a file: the message. Copied by Begin
  // After it the work is killed, whoever awaits it (HelperOptions::max_time is the most).
  Duration time_limit = absl::Minutes(5);
};

// HelperAnswer is an answer that is awaited. To let it go kills the work, and the program that it
// runs, if they still run. What hangs in the kernel (a file system that does not answer) dies
// later: an attempt that follows may meet it.
class HelperAnswer {
 public:
  virtual ~HelperAnswer() = default;
  // descriptor becomes readable when there is something for Take: to watch on a loop.
  virtual int descriptor() const = 0;
  // Take reads what has come; true when that was all of it. It does not block.
  virtual bool Take() = 0;
  // Wait takes until that was all, or `limit` has passed.
  virtual void Wait(Duration limit) = 0;
  // Result is what the work gave back, once Take said true. Nothing was done when it is
  // kPermissionDenied (the call's user and group may not be taken together, which the message
  // says), or kUnavailable (as much is under way as may be); kInternal when the work ended without
  // an answer: killed, or dead.
  virtual StatusOr<std::string> Result() const = 0;
};

class Helper {
 public:
  virtual ~Helper() = default;
  // Begin hands a call over. Any thread; it does not wait for others' work. kInternal when the
  // helper has ended.
  virtual StatusOr<std::unique_ptr<HelperAnswer>> Begin(const HelperCall& call) = 0;

  // OpenNamed opens a file for reading that was named by AllowFile; kPermissionDenied for others.
  virtual StatusOr<std::unique_ptr<File>> OpenNamed(const std::string& path) = 0;
  // OpenLog opens a log file that was named by AllowLog, to append to (a descriptor, the caller's),
  // and makes it, mode 0640, where there is none; kPermissionDenied for others. It follows no link,
  // and takes the folder that was there when the file was named.
  virtual StatusOr<int> OpenLog(const std::string& path) = 0;
  // FindPasswordHash is Processes::FindPasswordHash; kNotFound for an account that is not there,
  // kPermissionDenied unless AllowPasswords, and whatever kept the helper from looking.
  virtual StatusOr<std::string> FindPasswordHash(const std::string& name) = 0;

  // BindSocket binds a TCP socket of ours to an address with a port below 1024, for a reload that
  // listens on one more. kPermissionDenied for ports that are neither of kHelperPorts nor named by
  // AllowPort.
  virtual Status BindSocket(int socket, const Endpoint& local) = 0;

  // Accompany is Processes::Accompany for the program that AllowProgram named so. It does not wait
  // for the start: what becomes of a program that is refused is the end of its streams, and its
  // standard error says why. On `loop`.
  virtual StatusOr<std::unique_ptr<Companion>> Accompany(Executor& loop,
                                                         const std::string& name) = 0;

  // BeginPam puts a question to PAM (pam.h), of a service that AllowPam named: kPermissionDenied
  // for others, kUnavailable when HelperOptions::max_pam are under way. DecodePamAnswer reads the
  // result; an answer that has not come within `limit` does not come (kInternal).
  virtual StatusOr<std::unique_ptr<HelperAnswer>> BeginPam(const PamQuestion& question,
                                                           Duration limit) = 0;

  // Until Seal. What was allowed by then stays allowed.
  virtual Status AllowPort(uint16_t port) = 0;
  virtual Status AllowFile(const std::string& path) = 0;
  virtual Status AllowLog(const std::string& path) = 0;
  // AllowPairs names users and groups (uid, gid) that may be taken together though the machine's
  // accounts do not say so: those of the operator's userbases. Never root's; kMaxHelperPairs, and
  // those beyond are passed over.
  virtual Status AllowPairs(const std::vector<std::pair<uint32_t, uint32_t>>& pairs) = 0;
  // AllowProgram has Accompany start `spec` under that name, as spec.run_as, which is set. Of
  // kMaxHelperPrograms; those beyond are passed over.
  virtual Status AllowProgram(const std::string& name, const ProcessSpec& spec) = 0;
  virtual Status AllowPasswords() = 0;
  // AllowPam lets BeginPam ask that service; of kMaxHelperPamServices.
  virtual Status AllowPam(const PamService& service) = 0;
  virtual Status Seal() = 0;

  // end_descriptor becomes readable when the helper has ended, which it does not before it is
  // destroyed unless somebody kills it: to watch on a loop. There can be no other one, as the
  // server has no privileges left. -1: cannot be watched.
  virtual int end_descriptor() const { return -1; }
};

// HelperTask is one call as the work sees it, in a process of its own that is the user already.
struct HelperTask {
  std::string_view request;
  Credentials who;
  Files* files = nullptr;
  File* payload = nullptr;  // null when there is none
  WallTime now;
  // mark tells this piece of work from every other that is under way on this machine: for the names
  // of temporary files.
  std::string mark;
  // run runs a program as the same user and waits for its end; it is ended when nobody awaits the
  // answer any more.
  std::function<StatusOr<ProcessResult>(const ProcessSpec& spec)> run;
};

// HelperGrant is what a request may have beyond the rights of its user.
struct HelperGrant {
  bool as_root = false;                 // it may be done as uid 0
  std::optional<uint32_t> extra_group;  // one more group
};

struct HelperOptions {
  // grant looks at a request, before the child gives its privileges up. It decides by what the
  // machine says, never by what the request claims. Empty: nothing is granted.
  std::function<HelperGrant(const Credentials& who, std::string_view request)> grant;
  // work does it, and gives the answer.
  std::function<std::string(const HelperTask& task)> work;
  // max_children is how many calls are worked on at the same time, max_children_of_user how many of
  // them for one uid; more are refused as kUnavailable. Programs may run for minutes: it is more
  // than the deliverers ask for together. Half for a user, as all of a userbase may be one uid.
  size_t max_children = 512;
  size_t max_children_of_user = 256;
  // max_pam is how many questions to PAM are under way at the same time: the most that
  // `smtp limit max-auth-pam` may ask for.
  size_t max_pam = 256;
  // max_time bounds HelperCall::time_limit: a little more than the longest that a program may take.
  Duration max_time = absl::Minutes(61);
  // farewell is how long the helper waits, once nobody has it any more, for the death of what it
  // killed.
  Duration farewell = absl::Seconds(5);
};

// EncodeFields writes texts with their lengths before them, so that none can be taken for two.
std::string EncodeFields(const std::vector<std::string>& fields);
// DecodeFields reads them back; nullopt when they are not whole, or more than `max_fields`.
std::optional<std::vector<std::string>> DecodeFields(std::string_view text, size_t max_fields);

// EncodeStatus and DecodeStatus carry a Status, its errno included, in two fields.
void AppendStatus(const Status& status, std::vector<std::string>* fields);
Status StatusOfFields(const std::vector<std::string>& fields, size_t at);

}  // namespace postern::rt
