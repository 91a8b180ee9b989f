// Programs in a host's process that takes the ends of children which are not its own: their numbers
// become those of others, which must come to no harm.

#include "lib/rt/asio/program_child.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <linux/sched.h>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/rt/asio/asio_world.h"

namespace postern::rt {
namespace {

ProcessSpec SpecOf(std::vector<std::string> argv) {
  ProcessSpec spec;
  spec.argv = std::move(argv);
  return spec;
}

Descriptor OpenNull() { return Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

// Another is a process that got a number of our choice, a session of its own, and a parent that is
// not this process.
class Another {
 public:
  explicit Another(pid_t number) : number_(number) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return;
    told_.Take(pair[0]);
    parent_ = ::fork();
    if (parent_ == 0) BeParent(pair[1]);
    ::close(pair[1]);
    is_there_ = Heard() == 0;
  }
  ~Another() {
    if (is_there_) (void)EndedBy();
    if (parent_ > 0) ::waitpid(parent_, nullptr, 0);
  }
  Another(const Another&) = delete;
  Another& operator=(const Another&) = delete;

  // is_there: it takes a privilege to choose a number.
  bool is_there() const { return is_there_; }
  // EndedBy ends it with SIGTERM, unless it has ended before, and tells the signal that it died of.
  int EndedBy() {
    is_there_ = false;
    ::kill(number_, SIGTERM);
    return Heard();
  }

 private:
  int Heard() const {
    int value = -1;
    return ::read(told_.get(), &value, sizeof value) == sizeof value ? value : -1;
  }

  [[noreturn]] void BeParent(int tell) const {
    pid_t wish = number_;
    clone_args args{};
    args.exit_signal = SIGCHLD;
    args.set_tid = reinterpret_cast<uint64_t>(&wish);
    args.set_tid_size = 1;
    const long child = ::syscall(SYS_clone3, &args, sizeof args);
    int value = child < 0 ? errno : 0;
    if (child == 0) {
      ::setsid();
      (void)!::write(tell, &value, sizeof value);
      for (;;) ::pause();
    }
    if (child > 0) {
      int status = 0;
      ::waitpid(static_cast<pid_t>(child), &status, 0);
      value = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    }
    (void)!::write(tell, &value, sizeof value);
    ::_exit(0);
  }

  const pid_t number_;
  pid_t parent_ = -1;
  bool is_there_ = false;
  Descriptor told_;
};

// TakeAnyEnd is what such a host does.
pid_t TakeAnyEnd() {
  pid_t taken = 0;
  while ((taken = ::waitpid(-1, nullptr, 0)) < 0 && errno == EINTR) {
  }
  return taken;
}

#define SKIP_UNLESS_THERE(another) \
  if (!another.is_there()) GTEST_SKIP() << "no privilege to choose a process's number"

// NoDescriptorLeft takes all descriptors of this process for as long as it lives; a program may
// have some.
class NoDescriptorLeft {
 public:
  NoDescriptorLeft() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    few.rlim_cur = 32;
    ::setrlimit(RLIMIT_NOFILE, &few);
    for (Descriptor null = OpenNull(); null.open(); null = OpenNull())
      taken_.push_back(std::move(null));
  }
  ~NoDescriptorLeft() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptorLeft(const NoDescriptorLeft&) = delete;
  NoDescriptorLeft& operator=(const NoDescriptorLeft&) = delete;

 private:
  rlimit before_{};
  std::vector<Descriptor> taken_;
};

TEST(ProgramChild, NoSignalGoesToWhoHasItsNumberNow) {
  const Descriptor null = OpenNull();
  for (const bool with_descriptor : {true, false}) {
    SCOPED_TRACE(with_descriptor);
    int pipe[2];
    ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    Descriptor its(pipe[0]);
    Descriptor ours(pipe[1]);
    std::optional<NoDescriptorLeft> none;
    if (!with_descriptor) none.emplace();
    StatusOr<ProgramChild> started =
        ProgramChild::Start(SpecOf({"/bin/cat"}), {its.get(), null.get(), null.get()});
    none.reset();
    ASSERT_TRUE(started.ok());
    ProgramChild child = *std::move(started);
    ASSERT_TRUE(child.ours());
    EXPECT_EQ(child.descriptor() >= 0, with_descriptor);
    EXPECT_EQ(child.descriptor_errno(), with_descriptor ? 0 : EMFILE);
    EXPECT_FALSE(child.Ended());
    its.Close();
    ours.Close();
    Another another(TakeAnyEnd());
    SKIP_UNLESS_THERE(another);
    child.Kill();
    EXPECT_EQ(another.EndedBy(), SIGTERM);
    EXPECT_FALSE(child.TakeEnd().has_value());
    EXPECT_TRUE(child.Ended());
  }
}

TEST(ProgramChild, ACompanionLeavesWhoHasItsNumberNowAlone) {
  AsioWorld world;
  StatusOr<std::unique_ptr<Companion>> companion =
      world.processes().Accompany(world.main_loop(), SpecOf({"/bin/true"}));
  ASSERT_TRUE(companion.ok());
  Another another(TakeAnyEnd());
  SKIP_UNLESS_THERE(another);
  (*companion)->End();
  companion->reset();
  EXPECT_EQ(another.EndedBy(), SIGTERM);
}

TEST(ProgramChild, AConversationLeavesWhoHasItsNumberNowAlone) {
  AsioWorld world;
  StatusOr<std::unique_ptr<Conversation>> talk = world.processes().Converse(SpecOf({"/bin/true"}));
  ASSERT_TRUE(talk.ok());
  Another another(TakeAnyEnd());
  SKIP_UNLESS_THERE(another);
  (*talk)->End();
  talk->reset();
  EXPECT_EQ(another.EndedBy(), SIGTERM);
}

// One that has ended and that nobody has buried is ours: what it left running ends with it.
TEST(ProgramChild, WhatAnEndedProgramLeftIsKilled) {
  const Descriptor null = OpenNull();
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  Descriptor heard(pipe[0]);
  Descriptor said(pipe[1]);
  StatusOr<ProgramChild> child = ProgramChild::Start(
      SpecOf({"/bin/sh", "-c", "sleep 600 & echo; exit 3"}), {null.get(), said.get(), null.get()});
  ASSERT_TRUE(child.ok());
  said.Close();
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
  child->Kill();
  char octets[16];
  EXPECT_EQ(::read(heard.get(), octets, sizeof octets), 1);
  EXPECT_EQ(::read(heard.get(), octets, sizeof octets), 0) << "somebody holds the pipe";
  const std::optional<ProgramEnd> end = child->TakeEnd();
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->exit_code, 3);
  EXPECT_EQ(end->signal, 0);
}

// One that is given up is killed and buried.
TEST(ProgramChild, TheLastWhoKnowsItEndsIt) {
  const Descriptor null = OpenNull();
  {
    StatusOr<ProgramChild> child =
        ProgramChild::Start(SpecOf({"/bin/sleep", "600"}), {null.get(), null.get(), null.get()});
    ASSERT_TRUE(child.ok());
    EXPECT_FALSE(child->Ended());
    // As a loop does that watches it.
    if (child->descriptor() >= 0) ::fcntl(child->descriptor(), F_SETFL, O_NONBLOCK);
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace postern::rt
