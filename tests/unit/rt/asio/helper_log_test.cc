// Log files that are opened anew after root's rights were given up.
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/rt/asio/helper_process.h"
#include "lib/rt/asio/posix_log_output.h"

namespace postern::rt {
namespace {

namespace fs = std::filesystem;

class HelperLogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-helper-log-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    log_ = folder_ + "/maillog";
    HelperOptions options;
    options.work = [](const HelperTask&) { return std::string(); };
    StatusOr<std::unique_ptr<Helper>> helper = StartHelper(std::move(options));
    ASSERT_TRUE(helper.ok()) << Text(helper.status());
    helper_ = *std::move(helper);
  }
  void TearDown() override {
    helper_.reset();
    fs::remove_all(folder_);
  }
  // Append writes through a descriptor that the helper gave; false when it gave none.
  bool Append(const std::string& path) {
    const StatusOr<int> file = helper_->OpenLog(path);
    if (!file.ok()) return false;
    const bool wrote = write(*file, "line\n", 5) == 5;
    close(*file);
    return wrote;
  }
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string folder_;
  std::string log_;
  std::unique_ptr<Helper> helper_;
};

TEST_F(HelperLogTest, OpensTheLogThatWasNamedAndMakesItAnew) {
  ASSERT_TRUE(helper_->AllowLog(log_).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  std::ofstream(log_) << "old\n";
  EXPECT_TRUE(Append(log_));
  EXPECT_EQ(Read(log_), "old\nline\n");
  fs::rename(log_, log_ + ".1");
  EXPECT_TRUE(Append(log_));
  EXPECT_EQ(Read(log_), "line\n");
  struct stat info {};
  ASSERT_EQ(stat(log_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0007, 0u) << "others read the log";
}

TEST_F(HelperLogTest, OpensNoOtherFile) {
  ASSERT_TRUE(helper_->AllowLog(log_).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowLog(folder_ + "/late").ok());
  EXPECT_EQ(helper_->OpenLog(folder_ + "/late").status().code(), StatusCode::kPermissionDenied);
  EXPECT_EQ(helper_->OpenLog("/etc/passwd").status().code(), StatusCode::kPermissionDenied);
  std::ofstream(folder_ + "/secret") << "secret\n";
  fs::create_symlink(folder_ + "/secret", log_);
  EXPECT_FALSE(Append(log_));
  fs::remove(log_);
  fs::create_hard_link(folder_ + "/secret", log_);
  EXPECT_FALSE(Append(log_));
  fs::remove(log_);
  ASSERT_EQ(mkfifo(log_.c_str(), 0600), 0);
  EXPECT_FALSE(Append(log_));
  EXPECT_EQ(Read(folder_ + "/secret"), "secret\n");
}

TEST_F(HelperLogTest, KeepsTheFolderOfTheStart) {
  const std::string path = folder_ + "/logs/maillog";
  fs::create_directory(folder_ + "/logs");
  fs::create_directory(folder_ + "/other");
  ASSERT_TRUE(helper_->AllowLog(path).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_EQ(helper_->OpenLog(folder_ + "/none").status().code(), StatusCode::kPermissionDenied);
  fs::rename(folder_ + "/logs", folder_ + "/moved");
  fs::create_symlink(folder_ + "/other", folder_ + "/logs");
  EXPECT_TRUE(Append(path));
  EXPECT_EQ(Read(folder_ + "/moved/maillog"), "line\n");
  EXPECT_FALSE(fs::exists(folder_ + "/other/maillog"));
}

TEST_F(HelperLogTest, ALogFileIsReopenedByItWhereTheAccountMayNot) {
  ASSERT_TRUE(helper_->AllowLog(log_).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  StatusOr<std::unique_ptr<LogOutput>> log =
      OpenLogFile(log_, [this](const std::string& path) { return helper_->OpenLog(path); });
  StatusOr<std::unique_ptr<LogOutput>> alone = OpenLogFile(log_);
  ASSERT_TRUE(log.ok() && alone.ok());
  // As after logrotate's `create`: a new file that this account cannot write to. The helper of a
  // test that is not root's has no more rights, and can make a new one only.
  const bool root = geteuid() == 0;
  fs::rename(log_, log_ + ".1");
  if (root) {
    std::ofstream(log_).close();
    ASSERT_EQ(chmod(log_.c_str(), 0640), 0);
    ASSERT_EQ(seteuid(65534), 0);
    EXPECT_EQ((*alone)->Reopen().code(), StatusCode::kPermissionDenied);
  }
  const Status reopened = (*log)->Reopen();
  (void)(*log)->Write("after it");
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_TRUE(reopened.ok()) << Text(reopened);
  EXPECT_EQ(Read(log_), "after it\n");
}

}  // namespace
}  // namespace postern::rt
