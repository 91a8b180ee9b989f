#include "lib/server/spool_owner.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/posix_files.h"
#include "lib/store/queue/spool_lock.h"

namespace postern::server {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kAccount = 65533;

class SpoolOwnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root gives files away";
    char name[] = "/tmp/postern-spool-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    spool_ = root_ + "/spool";
    fs::create_directory(spool_);
    chmod(spool_.c_str(), 0711);
  }
  void TearDown() override {
    if (!root_.empty()) fs::remove_all(root_);
  }
  void Make(const std::string& name) { std::ofstream(spool_ + "/" + name) << "x"; }
  void MakeQueue() {
    fs::create_directories(spool_ + "/bodies");
    fs::create_directories(spool_ + "/damaged-20240101T000000Z/bodies");
    for (const char* name : {"queue.db", "queue.db-wal", "lock", "recent",
                             "bodies/0123456789abcdef", "damaged-20240101T000000Z/report.txt"})
      Make(name);
  }
  static uint32_t OwnerOfPath(const std::string& path) {
    struct stat st {};
    EXPECT_EQ(lstat(path.c_str(), &st), 0) << path;
    return st.st_uid;
  }
  uint32_t Owner(const std::string& name) { return OwnerOfPath(spool_ + "/" + name); }
  Status Give() { return GiveSpool(files_, spool_, kAccount, kAccount); }

  rt::PosixFiles files_;
  std::string root_, spool_;
};

TEST_F(SpoolOwnerTest, AllOfAQueueChangesHands) {
  MakeQueue();
  fs::create_directory(spool_ + "/lost+found");
  ASSERT_TRUE(Give().ok()) << Text(Give());
  for (const char* name :
       {"", "queue.db", "queue.db-wal", "lock", "recent", "bodies", "bodies/0123456789abcdef",
        "damaged-20240101T000000Z", "damaged-20240101T000000Z/report.txt",
        "damaged-20240101T000000Z/bodies"})
    EXPECT_EQ(Owner(name), kAccount) << name;
  EXPECT_EQ(Owner("lost+found"), 0u);
}

TEST_F(SpoolOwnerTest, AnEmptyFolderAndALinkToOne) {
  ASSERT_TRUE(Give().ok());
  EXPECT_EQ(Owner(""), kAccount);
  EXPECT_EQ(Owner("lock"), kAccount);
  fs::create_directory(root_ + "/other");
  fs::create_directory_symlink("other", root_ + "/link");
  ASSERT_TRUE(GiveSpool(files_, root_ + "/link", kAccount, kAccount).ok());
  EXPECT_EQ(OwnerOfPath(root_ + "/other"), kAccount);
  EXPECT_EQ(OwnerOfPath(root_ + "/link"), 0u);
}

TEST_F(SpoolOwnerTest, AFolderThatIsNotAQueuesIsLeftAlone) {
  const auto refused = [&](const char* what) {
    const Status status = Give();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << what << ": " << Text(status);
    EXPECT_NE(Message(status).find(spool_), std::string_view::npos) << Text(status);
    EXPECT_EQ(Owner(""), 0u) << what;
  };
  fs::create_directory(spool_ + "/cron");
  Make("cron/crontab");
  refused("cron");
  EXPECT_EQ(Owner("cron"), 0u);
  EXPECT_EQ(Owner("cron/crontab"), 0u);
  EXPECT_FALSE(fs::exists(spool_ + "/lock")) << "nothing is made there";
  MakeQueue();
  refused("a queue that was begun among others' files");
  EXPECT_EQ(Owner("queue.db"), 0u);
  fs::remove_all(spool_ + "/cron");
  for (const mode_t mode : {01777, 0775, 0757}) {
    chmod(spool_.c_str(), mode);
    refused("others may write");
  }
}

TEST_F(SpoolOwnerTest, WhatRootLeftInTheAccountsFolder) {
  MakeQueue();
  ASSERT_TRUE(Give().ok());
  // A run that kept root's rights, and the account's own notes.
  fs::remove_all(spool_ + "/bodies");
  fs::create_directory(spool_ + "/bodies");
  Make("bodies/00000000000000aa");
  Make("notes");
  ASSERT_TRUE(Give().ok());
  EXPECT_EQ(Owner("bodies"), kAccount);
  EXPECT_EQ(Owner("bodies/00000000000000aa"), kAccount);
  EXPECT_EQ(Owner("notes"), 0u) << "no queue made it";
  // A folder that was the account's, with a file in it that is not.
  ASSERT_TRUE(TakeSpool(files_, spool_).ok());
  EXPECT_EQ(Owner("bodies"), 0u);
  EXPECT_EQ(Owner("damaged-20240101T000000Z"), 0u);
  EXPECT_EQ(Owner("bodies/00000000000000aa"), kAccount);
  Make("bodies/00000000000000bb");
  ASSERT_TRUE(Give().ok());
  EXPECT_EQ(Owner("bodies"), kAccount);
  EXPECT_EQ(Owner("bodies/00000000000000bb"), kAccount);
}

// A start does not look at each of a million bodies.
TEST_F(SpoolOwnerTest, InTheAccountsFolderNothingIsLookedFor) {
  MakeQueue();
  ASSERT_TRUE(Give().ok());
  Make("bodies/00000000000000cc");
  ASSERT_TRUE(Give().ok());
  EXPECT_EQ(Owner("bodies/00000000000000cc"), 0u);
}

TEST_F(SpoolOwnerTest, WhatRootTakesIsTheQueuesFoldersAlone) {
  MakeQueue();
  ASSERT_TRUE(Give().ok());
  fs::create_directory(spool_ + "/notes");
  fs::create_directory(root_ + "/folder");
  for (const std::string& path : {spool_ + "/notes", root_ + "/folder"})
    ASSERT_EQ(chown(path.c_str(), kAccount, kAccount), 0);
  fs::create_directory_symlink(root_ + "/folder", spool_ + "/damaged-1");
  {
    const StatusOr<store::SpoolLock> held = store::SpoolLock::Take(files_, spool_);
    ASSERT_TRUE(held.ok());
    ASSERT_TRUE(TakeSpool(files_, spool_).ok());
    EXPECT_EQ(Owner("bodies"), kAccount) << "another server has it";
  }
  ASSERT_TRUE(TakeSpool(files_, spool_).ok());
  EXPECT_EQ(Owner("bodies"), 0u);
  EXPECT_EQ(Owner("queue.db"), kAccount);
  EXPECT_EQ(Owner("notes"), kAccount);
  EXPECT_EQ(OwnerOfPath(root_ + "/folder"), kAccount);
}

TEST_F(SpoolOwnerTest, OthersFilesAndSecondNamesStay) {
  MakeQueue();
  ASSERT_TRUE(Give().ok());
  // The account put these there, to be given what they lead to.
  std::ofstream(root_ + "/secret") << "root's";
  fs::create_directory(root_ + "/folder");
  std::ofstream(root_ + "/folder/file") << "root's";
  fs::create_hard_link(root_ + "/secret", spool_ + "/bodies/linked");
  fs::create_symlink(root_ + "/secret", spool_ + "/rebuild");
  fs::create_directory_symlink(root_ + "/folder", spool_ + "/damaged-1");
  Make("recent");
  ASSERT_EQ(chown((spool_ + "/recent").c_str(), 1234, 1234), 0);
  ASSERT_TRUE(Give().ok());
  EXPECT_EQ(OwnerOfPath(root_ + "/secret"), 0u);
  EXPECT_EQ(OwnerOfPath(root_ + "/folder"), 0u);
  EXPECT_EQ(OwnerOfPath(root_ + "/folder/file"), 0u);
  EXPECT_EQ(Owner("recent"), 1234u);
  fs::remove(spool_ + "/lock");
  fs::create_hard_link(root_ + "/secret", spool_ + "/lock");
  EXPECT_EQ(Give().code(), StatusCode::kFailedPrecondition);
  std::string text;
  std::getline(std::ifstream(root_ + "/secret"), text);
  EXPECT_EQ(text, "root's") << "nothing is written through a second name";
}

TEST_F(SpoolOwnerTest, NotWhileAnotherServerUsesIt) {
  MakeQueue();
  const StatusOr<store::SpoolLock> held = store::SpoolLock::Take(files_, spool_);
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(Give().code(), StatusCode::kUnavailable);
  EXPECT_EQ(Owner("queue.db"), 0u);
}

}  // namespace
}  // namespace postern::server
