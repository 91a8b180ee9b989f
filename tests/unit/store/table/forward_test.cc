// ~/.forward on real files: what is obeyed, and what is not.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/rt/asio/posix_files.h"
#include "lib/store/table/accounts.h"

namespace postern::store {
namespace {

namespace fs = std::filesystem;
using State = policy::ForwardFile::State;

class ForwardFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-forward-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    home_ = name;
    path_ = home_ + "/.forward";
    account_ = policy::LocalAccount{"bob", static_cast<uint32_t>(getuid()),
                                    static_cast<uint32_t>(getgid()), home_};
  }
  void TearDown() override { fs::remove_all(home_); }
  void Write(const std::string& text, mode_t mode = 0644) {
    fs::remove_all(path_);
    std::ofstream(path_) << text;
    chmod(path_.c_str(), mode);
  }
  State Read() {
    const StatusOr<policy::ForwardFile> file = ReadForwardFile(files_, account_);
    EXPECT_TRUE(file.ok()) << Text(file.status());
    if (!file.ok()) return State::kTemporary;
    text_ = file->text;
    return file->state;
  }

  rt::PosixFiles files_;
  std::string home_, path_, text_;
  policy::LocalAccount account_;
};

TEST_F(ForwardFileTest, OnlyASafeFileIsObeyed) {
  EXPECT_EQ(Read(), State::kMissing);
  Write("jdoe\n", 0600);
  EXPECT_EQ(Read(), State::kPresent);
  EXPECT_EQ(text_, "jdoe\n");
  Write(" \n\n");
  EXPECT_EQ(Read(), State::kMissing);
  for (const mode_t mode : {0664, 0646, 0666}) {
    Write("jdoe\n", mode);
    EXPECT_EQ(Read(), State::kUnsafe) << mode;
    EXPECT_EQ(text_, "");
  }
  Write("jdoe\n");
  ++account_.uid;  // another's file, in another's home
  EXPECT_EQ(Read(), State::kUnsafe);
  --account_.uid;

  fs::rename(path_, home_ + "/other");
  fs::create_symlink(home_ + "/other", path_);
  EXPECT_EQ(Read(), State::kUnsafe) << "a symbolic link";
  fs::remove(path_);
  fs::create_hard_link(home_ + "/other", path_);
  EXPECT_EQ(Read(), State::kUnsafe) << "a hard link";
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0644), 0);
  EXPECT_EQ(Read(), State::kUnsafe) << "a FIFO, and the reader does not hang";
  fs::remove(path_);
  fs::create_directory(path_);
  EXPECT_EQ(Read(), State::kUnsafe) << "a directory";
}

TEST_F(ForwardFileTest, TheHomeCounts) {
  Write("jdoe\n");
  chmod(home_.c_str(), 0777);
  EXPECT_EQ(Read(), State::kUnsafe);
  chmod(home_.c_str(), 0775);
  EXPECT_EQ(Read(), State::kUnsafe);
  chmod(home_.c_str(), 01755);
  EXPECT_EQ(Read(), State::kTemporary);
  chmod(home_.c_str(), 01777);  // as /tmp is
  EXPECT_EQ(Read(), State::kUnsafe);
  fs::remove(path_);
  EXPECT_EQ(Read(), State::kMissing);
  Write("jdoe\n");
  chmod(home_.c_str(), 0755);
  EXPECT_EQ(Read(), State::kPresent);
  account_.home = home_ + "/none";
  EXPECT_EQ(Read(), State::kMissing);
}

TEST_F(ForwardFileTest, ALargeOneIsCutAndNotRead) {
  Write(std::string(300'000, 'x'));
  EXPECT_EQ(Read(), State::kPresent);
  EXPECT_EQ(text_.size(), 65'536u);
}

}  // namespace
}  // namespace postern::store
