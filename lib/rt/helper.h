// Helper: what an unprivileged server has done with the rights of its users.
//
// A server that was started by root keeps, when it gives its privileges up, a second process that
// has them and does nothing but this: for each call it makes a child, the child becomes the user
// whom the call names, for good, and does one piece of work out of a short list (deliver a message,
// read a .forward). The process with the privileges reads one fixed form from its socket and
// nothing else; what is in a request is looked at by the child. rt/asio/helper_process.h is the
// real one; a simulated machine has none.
//
// What a stranger who took over the server could ask of it: to have mail delivered and programs run
// as any user but root, and to read the files that the configuration named when the server started.
// And to have its sockets bound to ports of mail. Not: to become root, to join a group that the
// user is not in, to read anybody's mail by itself.
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
#include "lib/rt/processes.h"

namespace postern::rt {

inline constexpr size_t kMaxHelperRequestBytes = 64 << 10;
inline constexpr size_t kMaxHelperAnswerBytes = 2 << 20;
// kHelperPorts are those of mail: smtp, imap, submissions, submission, imaps.
inline constexpr uint16_t kHelperPorts[] = {25, 143, 465, 587, 993};

struct HelperCall {
  // Who it is done as: uid and gid. The groups are those of the account that has this uid; what
  // stands here is not read.
  Credentials who;
  std::string request;       // EncodeFields; at most kMaxHelperRequestBytes
  std::string_view payload;  // what the work reads as a file: the message. Copied by Begin
};

// HelperAnswer is an answer that is awaited. To let it go ends the work, if it still runs.
class HelperAnswer {
 public:
  virtual ~HelperAnswer() = default;
  // descriptor becomes readable when there is something for Take: to watch on a loop.
  virtual int descriptor() const = 0;
  // Take reads what has come; true when that was all of it. It does not block.
  virtual bool Take() = 0;
  // Wait takes until that was all, or `limit` has passed.
  virtual void Wait(Duration limit) = 0;
  // Result is what the work gave back, once Take said true; kUnavailable when it ended without.
  virtual StatusOr<std::string> Result() const = 0;
};

class Helper {
 public:
  virtual ~Helper() = default;
  // Begin hands a call over. Any thread; it may block while the helper has as many children as it
  // may have.
  virtual StatusOr<std::unique_ptr<HelperAnswer>> Begin(const HelperCall& call) = 0;

  // OpenNamed opens a file for reading that was named by AllowFile; kPermissionDenied for others.
  virtual StatusOr<std::unique_ptr<File>> OpenNamed(const std::string& path) = 0;
  // FindPasswordHash is Processes::FindPasswordHash; kPermissionDenied unless AllowPasswords.
  virtual StatusOr<std::string> FindPasswordHash(const std::string& name) = 0;

  // BindSocket binds a TCP socket of ours to an address with a port below 1024, for a reload that
  // listens on one more. kPermissionDenied for ports that are neither of kHelperPorts nor named by
  // AllowPort.
  virtual Status BindSocket(int socket, const Endpoint& local) = 0;

  // Until Seal. What was allowed by then stays allowed.
  virtual Status AllowPort(uint16_t port) = 0;
  virtual Status AllowFile(const std::string& path) = 0;
  virtual Status AllowPasswords() = 0;
  virtual Status Seal() = 0;
};

// HelperTask is one call as the work sees it, in a process of its own that is the user already.
struct HelperTask {
  std::string_view request;
  Credentials who;
  Files* files = nullptr;
  File* payload = nullptr;  // null when there is none
  WallTime now;
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
  // at the same time; more calls wait. Programs may run for minutes: it is more than the deliverers
  // ask for together
  size_t max_children = 512;
};

// EncodeFields writes texts with their lengths before them, so that none can be taken for two.
std::string EncodeFields(const std::vector<std::string>& fields);
// DecodeFields reads them back; nullopt when they are not whole, or more than `max_fields`.
std::optional<std::vector<std::string>> DecodeFields(std::string_view text, size_t max_fields);

// EncodeStatus and DecodeStatus carry a Status, its errno included, in two fields.
void AppendStatus(const Status& status, std::vector<std::string>* fields);
Status StatusOfFields(const std::vector<std::string>& fields, size_t at);

}  // namespace postern::rt
