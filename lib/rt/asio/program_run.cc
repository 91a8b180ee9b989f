#include "lib/rt/asio/program_run.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/descriptor.h"
#include "lib/rt/asio/program_child.h"
#include "lib/rt/asio/program_keeper.h"

namespace postern::rt {

namespace {

struct Pipe {
  Descriptor read;
  Descriptor write;
  bool Open() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return false;
    read.Take(fds[0]);
    write.Take(fds[1]);
    return true;
  }
};

// Child is a program that was started, and our ends of its pipes. One that is given up before its
// end, because memory ran out, is killed and buried: nobody would do it later.
struct Child {
  Child() = default;
  ~Child() {
    if (keeper <= 0) return;
    if (!ended()) Kill();
    report.Close();  // the keeper ends
    BuryKeeper(keeper);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // end is readable when the program has ended.
  int end() const { return keeper > 0 ? report.get() : own.descriptor(); }
  bool ended() const {
    pollfd ended = {end(), POLLIN, 0};
    return ::poll(&ended, 1, 0) > 0;
  }
  // Kill ends the program and what it started that did not leave its session.
  void Kill() const {
    own.Kill();
    if (!report.open()) return;
    ::kill(-kept, SIGKILL);
    ::kill(kept, SIGKILL);
  }

  ProgramChild own;   // where this process is its parent
  pid_t kept = -1;    // where a keeper is (program_keeper.h)
  pid_t keeper = -1;  // until it is buried
  Descriptor report;  // of the keeper; while it is open, `kept` is nobody else's number
  Pipe in, out;
  Pipe back;  // what it hands back; closed where it may not
};

// KeepOurEnds closes the program's ends of the pipes in this process.
void KeepOurEnds(Child* child) {
  child->in.read.Close();
  child->out.write.Close();
  child->back.write.Close();
  ::fcntl(child->in.write.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(child->out.read.get(), F_SETFL, O_NONBLOCK);
  if (child->back.read.open()) ::fcntl(child->back.read.get(), F_SETFL, O_NONBLOCK);
}

constexpr char kTakenEnd[] =
    "its exit status was taken away: this process ignores SIGCHLD, or another part of it waits for "
    "children that are not its own";

// Start forks the program. `dies_with_us`: see BecomeProgram.
Status Start(const ProcessSpec& spec, bool dies_with_us, Child* child) {
  POSTERN_RETURN_IF_ERROR(CheckProgram(spec));
  const bool hands_back = spec.hand_back_limit_bytes > 0;
  if (!child->in.Open() || !child->out.Open() || (hands_back && !child->back.Open()))
    return ErrnoError(errno, "pipe");
  const int out = child->out.write.get();
  const ProgramDescriptors its = {child->in.read.get(), out, out,
                                  hands_back ? child->back.write.get() : -1};
  // The helper has its children to itself; so has no thread of a host's process.
  if (!dies_with_us && EndsAreTaken()) {
    StatusOr<KeptProgram> kept = StartKept(spec, its);
    if (!kept.ok()) return kept.status();
    child->kept = kept->program;
    child->keeper = kept->keeper;
    child->report = std::move(kept->report);
    KeepOurEnds(child);
    return OkStatus();
  }
  StatusOr<ProgramChild> own = ProgramChild::Start(spec, its, dies_with_us);
  if (!own.ok()) return own.status();
  child->own = *std::move(own);
  KeepOurEnds(child);
  if (child->own.descriptor() >= 0) return OkStatus();
  if (child->own.ours()) return ErrnoError(child->own.descriptor_errno(), "pidfd_open");
  NoteTakenEnd();
  return Internal(kTakenEnd);
}

// Put writes what fits of `left`; the pipe is closed when all is written or nobody reads any more.
// A program that stops reading must give EPIPE to this thread, not a signal to the host's process.
void Put(Descriptor* pipe, std::string_view* left) {
  sigset_t sigpipe, before, pending;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
  sigpending(&pending);
  const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
  bool gone = false;
  while (!left->empty() && !gone) {
    const ssize_t put = ::write(pipe->get(), left->data(), left->size());
    if (put >= 0) {
      left->remove_prefix(static_cast<size_t>(put));
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      gone = true;
    }
  }
  const timespec at_once{};
  while (gone && !was_pending && sigtimedwait(&sigpipe, nullptr, &at_once) < 0 && errno == EINTR) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (left->empty() || gone) pipe->Close();
}

// Get reads what there is, and keeps the last `limit` octets at least; the pipe is closed at its
// end.
void Get(Descriptor* pipe, size_t limit, std::string* output) {
  // In one turn no more than a program that writes without end may have.
  for (int turn = 0; turn < 16; ++turn) {
    char buffer[4096];
    const ssize_t got = ::read(pipe->get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return pipe->Close();
    output->append(buffer, static_cast<size_t>(got));
    if (output->size() > 2 * limit + sizeof buffer) output->erase(0, output->size() - limit);
  }
}

// GetBack reads what the program hands back, all that there is; the pipe is closed at its end, and
// when that was too much.
void GetBack(Descriptor* pipe, size_t limit, ProcessResult* result) {
  for (;;) {
    char buffer[16384];
    // Before it is read: a message that lacks a piece, as there was no memory for it, looks whole.
    result->handed_back.reserve(result->handed_back.size() + sizeof buffer);
    const ssize_t got = ::read(pipe->get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return pipe->Close();
    if (result->handed_back.size() + static_cast<size_t>(got) > limit) {
      result->handed_too_much = true;
      return pipe->Close();
    }
    result->handed_back.append(buffer, static_cast<size_t>(got));
  }
}

void KeepEnd(size_t limit, std::string* output) {
  if (output->size() > limit) output->erase(0, output->size() - limit);
}

// Reap takes the program's end, which is there. kInternal when somebody else took it: nobody knows
// then how the program fared, and a mail may not count as delivered for that.
Status Reap(Child* child, ProcessResult* result) {
  const bool kept = child->keeper > 0;
  const std::optional<ProgramEnd> end = kept ? ReadEnd(child->report.get()) : child->own.TakeEnd();
  child->report.Close();  // a keeper ends
  if (!end.has_value() && kept)
    return Internal("the process that was to keep its exit status is gone");
  if (!end.has_value()) {
    NoteTakenEnd();
    return Internal(kTakenEnd);
  }
  result->exit_code = end->exit_code;
  result->signal = end->signal;
  return OkStatus();
}

// ProgramIo feeds a program and listens to it, on a loop.
class ProgramIo {
 public:
  ProgramIo(Executor* loop, const ProcessSpec* spec, Child* child)
      : loop_(loop), spec_(spec), child_(child), left_(spec->input), ended_(loop) {
    if (left_.empty()) child_->in.write.Close();
    if (child_->in.write.open()) {
      writable_ = loop_->WatchFd(child_->in.write.get(), {.write = true}, [this](FdInterest) {
        Put(&child_->in.write, &left_);
        if (!child_->in.write.open()) writable_.reset();
      });
    }
    readable_ = loop_->WatchFd(child_->out.read.get(), {.read = true}, [this](FdInterest) {
      Get(&child_->out.read, spec_->output_limit_bytes, &result_.output);
      if (!child_->out.read.open()) readable_.reset();
    });
    if (child_->back.read.open()) {
      back_ = loop_->WatchFd(child_->back.read.get(), {.read = true}, [this](FdInterest) {
        GetBack(&child_->back.read, spec_->hand_back_limit_bytes, &result_);
        if (result_.handed_too_much) child_->Kill();
        if (!child_->back.read.open()) back_.reset();
      });
    }
    gone_ = loop_->WatchFd(child_->end(), {.read = true}, [this](FdInterest) {
      gone_.reset();
      ended_.Set();
    });
  }

  Task<StatusOr<ProcessResult>> Finish() {
    // Where it cannot be started, nothing of it waits yet.
    if (spec_->stop != nullptr) stopper_.Spawn(AwaitStop());
    const Instant deadline = loop_->Now() + spec_->time_limit;
    const bool in_time = co_await ended_.Wait(deadline);
    if (!in_time) {
      result_.timed_out = true;
      child_->Kill();
      co_await ended_.Wait();
    }
    if (spec_->stop != nullptr) {
      finished_ = true;
      spec_->stop->Pulse();
      co_await stopper_.Join();
    }
    writable_.reset();
    readable_.reset();
    back_.reset();
    if (child_->back.read.open())
      GetBack(&child_->back.read, spec_->hand_back_limit_bytes, &result_);
    // What it wrote last; others may hold the pipe and write on, for nobody.
    if (child_->out.read.open()) Get(&child_->out.read, spec_->output_limit_bytes, &result_.output);
    const Status known = Reap(child_, &result_);
    if (child_->keeper > 0) {
      // It ends now; under load not at once.
      auto bury = loop_->RunBlocking([keeper = child_->keeper] { BuryKeeper(keeper); });
      co_await bury;
      child_->keeper = -1;
    }
    // What we ended ourselves has failed, whatever it would have said.
    if (!known.ok() && !result_.timed_out) co_return known;
    KeepEnd(spec_->output_limit_bytes, &result_.output);
    result_.read_all_input = left_.empty();
    co_return std::move(result_);
  }

 private:
  Task<void> AwaitStop() {
    while (!finished_ && !spec_->stop->is_set()) co_await spec_->stop->Wait();
    if (finished_ || ended_.is_set()) co_return;
    result_.timed_out = true;
    child_->Kill();
  }

  Executor* loop_;
  const ProcessSpec* spec_;
  Child* child_;
  std::string_view left_;
  Event ended_;
  bool finished_ = false;
  ProcessResult result_;
  TaskGroup stopper_;
  std::unique_ptr<FdWatch> writable_, readable_, back_, gone_;
};

}  // namespace

Task<StatusOr<ProcessResult>> RunProgram(Executor& loop, ProcessSpec spec) {
  Child child;
  Status started;
  // The pages of a large process take a while to copy.
  auto start = loop.RunBlocking([&] { started = Start(spec, false, &child); });
  co_await start;
  if (!started.ok()) co_return started;
  ProgramIo io(&loop, &spec, &child);
  StatusOr<ProcessResult> result = co_await io.Finish();
  co_return result;
}

StatusOr<ProcessResult> RunProgramAndWait(const ProcessSpec& spec, int hang_up) {
  Child child;
  POSTERN_RETURN_IF_ERROR(Start(spec, true, &child));
  ProcessResult result;
  std::string_view left = spec.input;
  bool hung_up = false;
  if (left.empty()) child.in.write.Close();
  const int64_t end_ms = MonotonicMs() + absl::ToInt64Milliseconds(spec.time_limit);
  for (bool ended = false; !ended;) {
    int64_t wait_ms = end_ms - MonotonicMs();
    if ((wait_ms <= 0 || hung_up) && !result.timed_out) {
      result.timed_out = true;
      child.Kill();
    }
    if (result.timed_out) wait_ms = 60'000;
    pollfd fds[5] = {{child.end(), POLLIN, 0},
                     {child.out.read.get(), POLLIN, 0},
                     {child.in.write.get(), POLLOUT, 0},  // -1 is passed over
                     {hung_up ? -1 : hang_up, 0, 0},
                     {child.back.read.get(), POLLIN, 0}};
    ::poll(fds, 5, static_cast<int>(std::min<int64_t>(wait_ms, 60'000)));
    if (child.in.write.open() && fds[2].revents != 0) Put(&child.in.write, &left);
    if (child.out.read.open() && (fds[1].revents != 0 || fds[0].revents != 0))
      Get(&child.out.read, spec.output_limit_bytes, &result.output);
    if (child.back.read.open() && (fds[4].revents != 0 || fds[0].revents != 0)) {
      GetBack(&child.back.read, spec.hand_back_limit_bytes, &result);
      if (result.handed_too_much) child.Kill();
    }
    hung_up = hung_up || (fds[3].revents & (POLLHUP | POLLERR)) != 0;
    ended = fds[0].revents != 0;
  }
  const Status known = Reap(&child, &result);
  if (!known.ok() && !result.timed_out) return known;
  KeepEnd(spec.output_limit_bytes, &result.output);
  result.read_all_input = left.empty();
  return result;
}

}  // namespace postern::rt
