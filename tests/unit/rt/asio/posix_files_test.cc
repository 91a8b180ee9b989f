#include "lib/rt/asio/posix_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

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
  EXPECT_EQ(ReadFile(*files_.As(Credentials{.uid = 54321, .gid = 1}), Path("theirs"), 10).status().code(),
            StatusCode::kPermissionDenied);
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
