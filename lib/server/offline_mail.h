// OfflineMail takes up what `sendmail` left in the spool while no server ran, or while one could
// not take it.
//
// The folder SPOOL/offline belongs to the server and is one into which every user may put files and
// which none may list (mode 1733); the file names are of chance, so nobody finds another's. Who
// owns a file handed it in. What is no such file (a link, a pipe, a file with a second name) is put
// aside.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "lib/core/base/log.h"
#include "lib/rt/world.h"
#include "lib/server/server.h"

namespace postern::server {

struct OfflineOptions {
  Duration interval = absl::Seconds(30);  // between two looks into the folder
  size_t max_files = 1000;                // taken at one look
  Duration stale = absl::Hours(24);       // when what was never finished goes
  uint64_t max_head_bytes = 1 << 20;      // of the envelope in a file
};

// The folder's name in the spool.
inline constexpr char kOfflineFolder[] = "offline";

class OfflineMail {
 public:
  using Submit = std::function<rt::Task<SubmissionResult>(Submission)>;
  // All outlive it. `max_message_bytes` bounds a file.
  OfflineMail(rt::World* world, LogSink* log, std::string spool, uint64_t max_message_bytes,
              std::string server_name, Submit submit, OfflineOptions options = {});

  // Run looks into the folder until Stop.
  rt::Task<void> Run();
  void Stop() { stop_.Set(); }

 private:
  struct Found {
    std::string path;
    Submission submission;
    Status problem;  // it is none of ours
    bool gone = false;
  };
  StatusOr<std::vector<std::string>> List();
  Found Read(const std::string& name);
  rt::Task<void> Take(std::string name);
  enum class Outcome : uint8_t {
    kDone,
    kWaits,  // for somebody at least; the file stays
    kAside,  // nobody can be told
  };
  rt::Task<Outcome> HandIn(const std::string* name, const Submission* all, std::string* reason);
  rt::Task<bool> Tell(const Submission* submission, const SubmissionResult* result);
  void Log(LogLevel level, std::string event, std::string file, std::string reason);
  void LogOutcome(LogLevel level, std::string event, const std::string& file,
                  const std::string& recipients, const SubmissionResult& result);

  rt::World* world_;
  LogSink* log_;
  const std::string folder_;
  const uint64_t max_message_bytes_;
  const std::string server_name_;
  const Submit submit_;
  const OfflineOptions options_;
  rt::Event stop_;
  // Of files that wait: who of their recipients need not wait any more. At most max_files; it is
  // forgotten at the end, and they are then served twice, never not at all.
  std::map<std::string, std::set<std::string>> done_;
};

// ParseOffline reads a file of the folder: "postern offline 1", one "name: value" a line (f:
// sender, l: login, n, r, v: as the options of `postern ctl submit`, t: a recipient), an empty
// line, the message.
Status ParseOffline(std::string_view text, Submission* out);

}  // namespace postern::server
