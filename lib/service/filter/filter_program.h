// FilterProgram: a program that speaks the filter protocol (core/filter/filter_lines.h), kept
// running, and the sessions that it filters.
//
// One program serves the sessions of all loops. It lives on one loop, where its pipe is read and
// written; a session puts what it says into a common buffer, and is woken on its own loop when an
// answer has come. Nothing that the program does or leaves undone holds up mail that is not its
// own:
//
//   it ends, or is killed   its sessions are told "try again later", it is started again
//   it does not read        what waits for it is bounded; past that, or past write_timeout, it is
//                           taken for dead, killed and started again
//   it does not answer      the step is refused for now after answer_timeout; when it said nothing
//                           at all meanwhile, it is killed and started again
//   it talks nonsense       the same, at once
//   it floods               the message is refused for now, the program killed and started again
//
// Starts are apart by a pause that doubles. Who connects while it is not there hears 421. A session
// that saw it die hears 421 at the next step, as the program that took its place knows nothing of
// it.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/core/base/log.h"
#include "lib/core/filter/filter_lines.h"
#include "lib/rt/processes.h"
#include "lib/rt/stream.h"
#include "lib/rt/world.h"
#include "lib/service/smtp/backend.h"

namespace postern::service {

struct FilterProgramOptions {
  std::string name;  // for logs and replies
  filter::Version version = filter::Version::k07;
  std::vector<std::pair<std::string, std::string>> config;  // what it is told at its start

  Duration ready_timeout = absl::Seconds(30);   // from its start to "register|ready"
  Duration answer_timeout = absl::Seconds(60);  // for the verdict about a step
  Duration content_timeout = absl::Minutes(2);  // behind a message's end, between two pieces of it
  Duration write_timeout = absl::Seconds(60);   // for it to read what it is told
  Duration drain_timeout = absl::Seconds(10);   // for a session to take what was given for it
  Duration first_pause = absl::Seconds(1);      // between its end and its next start; doubles …
  Duration longest_pause = absl::Minutes(1);  // … up to this, and starts anew after as long a run
  size_t max_line_bytes = (1 << 20) + 4096;   // of what it says: the longest line of a message
  size_t max_unread_bytes = 16 << 20;         // of what it is told
  size_t content_ahead_bytes = 256 << 10;     // unread octets at which messages wait
  size_t max_untaken_bytes = 1 << 20;         // of a session's message, given and not yet taken
  uint64_t max_added_bytes = 16 << 20;        // to a message
  // of answers that nobody awaits, one behind the other: the rest of a message that was broken off
  // is no more
  uint64_t max_stray_bytes = 64 << 20;
  size_t max_error_line_bytes = 1024;  // of its standard error; more is cut off
};

class FilterProgram : public std::enable_shared_from_this<FilterProgram> {
 public:
  // Start starts the program anew.
  using Start = std::function<rt::Task<StatusOr<std::unique_ptr<rt::Companion>>>()>;

  // What is given outlives it and its sessions.
  FilterProgram(rt::Executor* loop, rt::Clock* clock, LogSink* log, FilterProgramOptions options,
                Start start);
  ~FilterProgram();

  // Run keeps the program running until Stop. On its loop.
  rt::Task<void> Run();
  // Stop ends the program; its sessions are told "try again later". On its loop.
  void Stop();
  // Ready waits until the program has registered, until `deadline` at most; false: it has not. It
  // does not wait for a second start: when the first one ends before that it is false at once. On
  // its loop.
  rt::Task<bool> Ready(Instant deadline);

  // NewSession gives the filter of one session, which keeps this object alive. `tell` is told what
  // the program reports of it (kFilterReport). Any thread; the filter is of `loop`.
  std::unique_ptr<SessionFilter> NewSession(rt::Executor* loop, const SmtpSessionFacts& facts,
                                            std::function<void(const FilterReport&)> tell);

  const FilterProgramOptions& options() const { return options_; }

 private:
  friend class ProgramSession;
  struct Exchange;

  // Registered is what the program that runs has asked for.
  struct Registered {
    uint64_t generation = 0;  // 0: none runs
    uint32_t phases = 0;
    uint32_t events = 0;
    bool content = false;
  };

  rt::Task<std::string> Serve(rt::Companion* program);
  rt::Task<void> Bury(rt::Companion* program);
  rt::Task<void> ReadAnswers(rt::Stream* stream);
  rt::Task<void> WriteQuestions(rt::Stream* stream);
  rt::Task<void> ReadErrors(rt::Stream* stream);
  // Take takes a line; false: the program was given up. `*full` is whose message is not taken as
  // fast as it is given, if any.
  bool Take(std::string_view line, std::shared_ptr<Exchange>* full);
  bool TakeRegistration(const filter::ProgramLine& line);
  // TakeStray counts a line that nobody awaits; false as Take.
  bool TakeStray(std::string_view line);
  rt::Task<void> LetDrain(std::shared_ptr<Exchange> exchange);
  void GiveUp(std::string why);
  void ForgetSessions();
  void Log(LogLevel level, std::string event, std::vector<LogField> fields) const;

  // For sessions; any thread.
  Registered Current() const;
  bool Join(uint64_t id, const std::shared_ptr<Exchange>& exchange, uint64_t generation);
  void Part(uint64_t id);
  // Say has the program of `generation` told `lines`. It does not wait.
  void Say(uint64_t generation, std::string_view lines);
  // IsBehind tells whether much is unread, and if so has `exchange` woken when it is not any more.
  bool IsBehind(const std::shared_ptr<Exchange>& exchange);
  // Suspect says that there was no answer since `since`.
  void Suspect(uint64_t generation, Instant since, std::string why);
  // Drained says that a session has taken what was given for it.
  void Drained();
  WallTime WallNow() const { return clock_->WallNow(); }
  uint64_t NewToken() { return next_token_.fetch_add(1, std::memory_order_relaxed); }

  rt::Executor* loop_;
  rt::Clock* clock_;
  LogSink* log_;
  FilterProgramOptions options_;
  Start start_;
  std::atomic<uint64_t> next_token_;

  // Of its loop.
  rt::Event stop_;
  rt::Event ready_;
  rt::Event said_;     // there is something to write
  rt::Event drained_;  // a session took what was given for it
  rt::Event errors_over_;
  rt::Stream* stream_ = nullptr;
  rt::Stream* errors_ = nullptr;
  std::string why_;
  Registered registering_;
  Instant last_heard_;
  uint64_t generations_ = 0;
  uint64_t stray_bytes_ = 0;
  bool has_ended_ = false;  // once

  mutable std::mutex mutex_;  // guards what follows
  Registered registered_;
  std::string unsaid_;
  size_t saying_bytes_ = 0;  // handed to the pipe and not yet read
  bool wake_posted_ = false;
  bool overflowed_ = false;
  std::map<uint64_t, std::shared_ptr<Exchange>> exchanges_;
  std::vector<std::shared_ptr<Exchange>> waiting_;  // for less to be unread
};

}  // namespace postern::service
