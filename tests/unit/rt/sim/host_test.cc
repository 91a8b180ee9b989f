#include "lib/rt/sim/host.h"

#include "tests/unit/rt/function_job.h"
#include <cerrno>

#include "gtest/gtest.h"

#include "lib/rt/sim/simulation.h"

namespace postern::rt::sim {
namespace {

ProcessSpec Spec(std::string program) {
  ProcessSpec spec;
  spec.argv = {std::move(program)};
  spec.time_limit = absl::Seconds(10);
  return spec;
}

TEST(Host, AnswersWhatTheTestSaysAboutAccounts) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  host.AddAccount({.name = "ann", .uid = 1000, .gid = 1000, .groups = {}, .home = "/home/ann"},
                  "$6$x$y");
  Processes& processes = host.world().processes();
  EXPECT_EQ(processes.FindAccount("ann")->home, "/home/ann");
  EXPECT_EQ(*processes.FindPasswordHash("ann"), "$6$x$y");
  EXPECT_EQ(processes.FindAccount("bob").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(processes.Self().uid, 0u);
}

TEST(Host, RunsTheProgramsThatTheTestProvides) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Processes& processes = host.world().processes();
  Executor& loop = host.main_loop();
  EXPECT_EQ(simulation.Await(loop, processes.Run(loop, Spec("/bin/x"))).status().code(),
            StatusCode::kNotFound);
  host.SetProgram([](const ProcessSpec& spec) {
    Host::ProgramEnd end;
    end.result->output = spec.argv[0];
    end.after = spec.argv[0] == "/bin/slow" ? absl::Minutes(1) : absl::Seconds(1);
    return end;
  });
  const Instant start = simulation.now();
  StatusOr<ProcessResult> ran = simulation.Await(loop, processes.Run(loop, Spec("/bin/x")));
  ASSERT_TRUE(ran.ok());
  EXPECT_EQ(ran->output, "/bin/x");
  EXPECT_GE(simulation.now() - start, absl::Seconds(1));
  ran = simulation.Await(loop, processes.Run(loop, Spec("/bin/slow")));
  ASSERT_TRUE(ran.ok());
  EXPECT_TRUE(ran->timed_out);
}

class Echo final : public Conversation {
 public:
  Status Write(std::string_view data, Duration) override {
    said_.append(data);
    return OkStatus();
  }
  StatusOr<size_t> Read(std::span<char> into, Duration) override {
    const size_t count = std::min(into.size(), said_.size());
    std::copy_n(said_.begin(), count, into.begin());
    said_.erase(0, count);
    return count;
  }
  std::string LastError() override { return ""; }
  void End() override {}

 private:
  std::string said_;
};

TEST(Host, TalksWithTheProgramsThatTheTestProvides) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  Processes& processes = host.world().processes();
  EXPECT_EQ(processes.Converse(Spec("/bin/x")).status().code(), StatusCode::kNotFound);
  host.SetConversation([](const ProcessSpec&) -> StatusOr<std::unique_ptr<Conversation>> {
    return std::make_unique<Echo>();
  });
  StatusOr<std::unique_ptr<Conversation>> talk = processes.Converse(Spec("/bin/x"));
  ASSERT_TRUE(talk.ok());
  EXPECT_TRUE((*talk)->Write("hello", absl::Seconds(1)).ok());
  std::array<char, 8> buffer;
  EXPECT_EQ(*(*talk)->Read(buffer, absl::Seconds(1)), 5u);
  host.Crash(CrashKind::kKill);
  EXPECT_EQ(processes.Converse(Spec("/bin/x")).status().code(), StatusCode::kCancelled);
}

TEST(Host, ACrashEndsAWaitForAProcess) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  host.SetProgram([](const ProcessSpec&) {
    Host::ProgramEnd end;
    end.after = absl::Seconds(9);
    return end;
  });
  simulation.After(absl::Seconds(1), nullptr, [&] { host.Crash(CrashKind::kKill); });
  Executor& loop = host.main_loop();
  const StatusOr<ProcessResult> ran =
      simulation.Await(loop, host.world().processes().Run(loop, Spec("/bin/x")));
  EXPECT_EQ(ran.status().code(), StatusCode::kCancelled);
  EXPECT_LT(simulation.now().ns, 3'000'000'000);
}

TEST(Host, AfterACrashEveryCallOnFilesIsCancelledUntilRestart) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  World& old = host.world();
  OpenOptions create;
  create.write = create.create = true;
  StatusOr<std::unique_ptr<File>> file = old.files().Open("/a", create);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("kept by a kill").ok());
  host.Crash(CrashKind::kKill);
  EXPECT_FALSE(host.up());
  EXPECT_TRUE(host.powered());
  EXPECT_EQ((*file)->Append("x").code(), StatusCode::kCancelled);
  EXPECT_EQ((*file)->Sync().code(), StatusCode::kCancelled);
  EXPECT_EQ(old.files().Open("/a", create).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(old.files().Unlink("/missing").code(), StatusCode::kCancelled);
  EXPECT_EQ(old.files().Stat("/missing").status().code(), StatusCode::kCancelled);
  EXPECT_EQ(old.files().List("/").status().code(), StatusCode::kCancelled);
  file->reset();
  World& next = host.Restart();
  EXPECT_NE(&next, &old);
  EXPECT_EQ(*ReadFile(next.files(), "/a", 100), "kept by a kill");
  EXPECT_EQ(ReadFile(old.files(), "/a", 100).status().code(), StatusCode::kCancelled);
}

TEST(HostDeathTest, RestartRefusesALeakOfTheLifeBefore) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  OpenOptions create;
  create.write = create.create = true;
  StatusOr<std::unique_ptr<File>> file = host.world().files().Open("/a", create);
  ASSERT_TRUE(file.ok());
  host.Crash(CrashKind::kKill);
  EXPECT_DEATH(host.Restart(), "descriptors");
}

TEST(Host, TimersGoOnAfterACrashSoThatSleepersUnwind) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  bool rang = false;
  host.main_loop().CallAt(simulation.now() + absl::Seconds(5), [&] { rang = true; });
  host.Crash(CrashKind::kPowerLoss);
  simulation.RunUntilIdle();
  EXPECT_TRUE(rang);
}

TEST(Host, TheCrashHandlerRunsAsAnEventOfItsOwn) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({});
  int handled = 0;
  host.SetCrashHandler([&] { ++handled; });
  host.Crash(CrashKind::kPowerLoss);
  EXPECT_EQ(handled, 0);
  simulation.RunUntilIdle();
  EXPECT_EQ(handled, 1);
  host.Crash(CrashKind::kPowerLoss);
  simulation.RunUntilIdle();
  EXPECT_EQ(handled, 1);
}

TEST(Host, OpenFilesAreLimited) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({.descriptor_limit = 2});
  OpenOptions create;
  create.write = create.create = true;
  auto a = host.world().files().Open("/a", create);
  auto b = host.world().files().Open("/b", create);
  ASSERT_TRUE(a.ok() && b.ok());
  auto c = host.world().files().Open("/c", create);
  EXPECT_EQ(ErrnoOf(c.status()), EMFILE);
  a->reset();
  c = host.world().files().Open("/c", create);
  EXPECT_TRUE(c.ok());
}

TEST(HostDeathTest, FilesOnALoopAreFoundOutWhenAskedFor) {
  Simulation simulation(1);
  Host& host = simulation.AddHost({.disk = {.check_off_loop = true}});
  bool done = false;
  FunctionJob job([&] { EXPECT_TRUE(host.world().files().List("/").ok()); }, [&] { done = true; });
  host.main_loop().PostBlocking(&job);
  simulation.RunUntilIdle();
  EXPECT_TRUE(done);
  host.main_loop().Post([&] { (void)host.world().files().List("/"); });
  EXPECT_DEATH(simulation.RunUntilIdle(), "check_off_loop");
}

}  // namespace
}  // namespace postern::rt::sim
