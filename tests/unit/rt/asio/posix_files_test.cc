#include "lib/rt/asio/posix_files.h"

#include <cerrno>
#include <cstdlib>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace postern::rt {
namespace {

class PosixFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-files-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    chmod(name, 0755);
  }
  void TearDown() override { (void)!std::system(("rm -rf " + root_).c_str()); }
  std::string Path(const char* name) const { return root_ + "/" + name; }

  PosixFiles files_;
  std::string root_;
};

TEST_F(PosixFilesTest, WritesDurablyAndReadsBack) {
  ASSERT_TRUE(MakeDirectories(files_, Path("a/b/c"), 0700).ok());
  ASSERT_TRUE(WriteFileDurably(files_, Path("a/b/c/f"), "hello", 0600).ok());
  EXPECT_EQ(*ReadFile(files_, Path("a/b/c/f"), 100), "hello");
  EXPECT_EQ(ReadFile(files_, Path("a/b/c/f"), 4).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(files_, Path("nothing"), 4).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_.List(Path("a/b/c"))->size(), 1u);
}

TEST_F(PosixFilesTest, RefusesWhatIsNotARegularFile) {
  ASSERT_EQ(symlink("/etc/passwd", Path("link").c_str()), 0);
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  OpenOptions options;
  EXPECT_EQ(files_.Open(Path("link"), options).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(files_.Open(Path("fifo"), options).status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(files_.Open(root_, options).status().code(), StatusCode::kFailedPrecondition);
  options.follow_symlink = true;
  EXPECT_TRUE(files_.Open(Path("link"), options).ok());
}

TEST_F(PosixFilesTest, ExclusiveCreationNoticesTheTakenName) {
  OpenOptions options;
  options.write = options.create = options.exclusive = true;
  ASSERT_TRUE(files_.Open(Path("f"), options).ok());
  EXPECT_EQ(files_.Open(Path("f"), options).status().code(), StatusCode::kAlreadyExists);
}

TEST_F(PosixFilesTest, ActsAsAnotherUserOnOneThread) {
  if (geteuid() != 0) {
    const auto other = files_.As(Credentials{.uid = 12345, .gid = 12345});
    EXPECT_EQ(other->MakeDirectory(Path("d"), 0700).code(), StatusCode::kPermissionDenied);
    return;
  }
  chmod(root_.c_str(), 0777);
  const auto other = files_.As(Credentials{.uid = 12345, .gid = 12346});
  ASSERT_TRUE(WriteFileDurably(*other, Path("theirs"), "x", 0600).ok());
  const StatusOr<FileInfo> info = files_.Stat(Path("theirs"));
  EXPECT_EQ(info->uid, 12345u);
  EXPECT_EQ(info->gid, 12346u);
  ASSERT_TRUE(WriteFileDurably(files_, Path("ours"), "x", 0600).ok());
  EXPECT_EQ(files_.Stat(Path("ours"))->uid, 0u);
  EXPECT_EQ(ReadFile(*other, Path("ours"), 10).status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(
      ReadFile(*files_.As(Credentials{.uid = 54321, .gid = 1}), Path("theirs"), 10).status().code(),
      StatusCode::kPermissionDenied);
}

// A write that the system takes in part is gone on with, and what stops it is told: never is a part
// called the whole.
TEST_F(PosixFilesTest, AShortWriteIsNotTakenForAWholeOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto ignored = signal(SIGXFSZ, SIG_IGN);
  const rlimit low{.rlim_cur = 1000, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  OpenOptions options;
  options.append = options.create = true;
  const std::string data(5000, 'x');
  {
    const auto appended = files_.Open(Path("a"), options);
    EXPECT_EQ(ErrnoOf((*appended)->Append(data)), EFBIG);
    options.append = false, options.write = true;
    const auto written = files_.Open(Path("w"), options);
    EXPECT_EQ(ErrnoOf((*written)->WriteAt(0, data)), EFBIG);
    EXPECT_EQ((*written)->Stat()->size_bytes, 1000u) << "the system did take a part";
    EXPECT_FALSE(WriteFileDurably(files_, Path("d"), data, 0600).ok());
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, ignored);
  EXPECT_EQ(files_.Stat(Path("d")).status().code(), StatusCode::kNotFound);
  EXPECT_EQ(files_.List(root_)->size(), 2u) << "nothing half is left beside them";
}

TEST_F(PosixFilesTest, ALockedFileIsNoticed) {
  OpenOptions options;
  options.write = options.create = true;
  auto first = files_.Open(Path("f"), options);
  auto second = files_.Open(Path("f"), options);
  ASSERT_TRUE((*first)->TryLock().ok());
  EXPECT_EQ((*second)->TryLock().code(), StatusCode::kUnavailable);
  first->reset();
  EXPECT_TRUE((*second)->TryLock().ok());
}

}  // namespace
}  // namespace postern::rt
