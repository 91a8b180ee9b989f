#include "lib/rt/asio/helper_process.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::rt {
namespace {

namespace fs = std::filesystem;

// Work answers "echo X" with who does it, X and the payload; "die" by its death; "write PATH" by a
// file; "sleep" runs a program that takes long.
std::string Work(const HelperTask& task) {
  const std::string request(task.request);
  if (request == "die") abort();
  if (request == "sleep") {
    ProcessSpec spec;
    spec.argv = {"/bin/sleep", "30"};
    const StatusOr<ProcessResult> end = task.run(spec);
    return end.ok() && end->timed_out ? "ended" : "not ended";
  }
  if (request.starts_with("write ")) {
    OpenOptions open;
    open.write = open.create = open.exclusive = true;
    open.mode = 0666;
    return Text(task.files->Open(request.substr(6), open).status());
  }
  std::string payload = "none";
  if (task.payload != nullptr) {
    payload.assign(task.payload->Stat()->size_bytes, '\0');
    (void)task.payload->ReadAt(0, payload);
  }
  return StrCat(geteuid(), ":", getegid(), " ", request.substr(5), " ", payload);
}

HelperGrant Grant(const Credentials&, std::string_view request) {
  return HelperGrant{.as_root = request == "echo root"};
}

class HelperProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/postern-helper-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    chmod(name, 0777);
    HelperOptions options;
    options.work = Work;
    options.grant = Grant;
    options.max_children = 2;
    StatusOr<std::unique_ptr<Helper>> helper = StartHelper(std::move(options));
    ASSERT_TRUE(helper.ok()) << Text(helper.status());
    helper_ = *std::move(helper);
  }
  void TearDown() override {
    helper_.reset();
    fs::remove_all(folder_);
  }
  StatusOr<std::string> Ask(uint32_t uid, uint32_t gid, const std::string& request,
                            std::string_view payload = {}) {
    HelperCall call;
    call.who = Credentials{uid, gid, {0, 6, 42}};  // groups that nobody gets by naming them
    call.request = request;
    call.payload = payload;
    StatusOr<std::unique_ptr<HelperAnswer>> answer = helper_->Begin(call);
    if (!answer.ok()) return answer.status();
    (*answer)->Wait(absl::Seconds(20));
    return (*answer)->Result();
  }
  std::string folder_;
  std::unique_ptr<Helper> helper_;
};

TEST_F(HelperProcessTest, WorksAsWhoItIsTold) {
  const uint32_t uid = geteuid() == 0 ? 65534 : geteuid();
  const uint32_t gid = geteuid() == 0 ? 65534 : getegid();
  EXPECT_EQ(*Ask(uid, gid, "echo hello"), StrCat(uid, ":", gid, " hello none"));
  const std::string large(300'000, 'm');
  EXPECT_EQ(*Ask(uid, gid, "echo hello", large), StrCat(uid, ":", gid, " hello ", large));
  EXPECT_EQ(*Ask(uid, gid, "echo empty", std::string_view("", 0)),
            StrCat(uid, ":", gid, " empty "));
  EXPECT_EQ(Ask(uid, gid, StrCat("write ", folder_, "/file")).value_or(""), "ok");
  struct stat info {};
  ASSERT_EQ(stat((folder_ + "/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, uid);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(HelperProcessTest, IsNobodyElse) {
  if (geteuid() != 0) {
    EXPECT_FALSE(Ask(geteuid() + 1, getegid(), "echo x").ok());
    GTEST_SKIP() << "the rest needs root";
  }
  EXPECT_FALSE(Ask(0, 0, "echo x").ok());
  EXPECT_FALSE(Ask(0, 65534, "echo x").ok());
  EXPECT_FALSE(Ask(65534, 0, "echo x").ok());
  EXPECT_FALSE(Ask(65534, 42, "echo x").ok())
      << "a group of the system's that is not the account's";
  EXPECT_FALSE(Ask(54321, 42, "echo x").ok());
  EXPECT_FALSE(Ask(6, 54321, "echo x").ok()) << "a system account with another group";
  EXPECT_EQ(*Ask(54321, 54321, "echo x"), "54321:54321 x none");
  EXPECT_EQ(*Ask(0, 0, "echo root"), "0:0 root none") << "what is granted";
}

TEST_F(HelperProcessTest, OutlivesItsChildren) {
  const uint32_t uid = geteuid() == 0 ? 65534 : geteuid();
  const uint32_t gid = geteuid() == 0 ? 65534 : getegid();
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(Ask(uid, gid, "die").status().code(), StatusCode::kUnavailable);
  EXPECT_TRUE(Ask(uid, gid, "echo x").ok());
  EXPECT_EQ(Ask(uid, gid, std::string(kMaxHelperRequestBytes + 1, 'x')).status().code(),
            StatusCode::kResourceExhausted);
}

TEST_F(HelperProcessTest, WhatNobodyAwaitsIsEnded) {
  HelperCall call;
  call.who =
      Credentials{geteuid() == 0 ? 65534 : geteuid(), geteuid() == 0 ? 65534 : getegid(), {}};
  call.request = "sleep";
  for (int i = 0; i < 6; ++i) {
    StatusOr<std::unique_ptr<HelperAnswer>> answer = helper_->Begin(call);
    ASSERT_TRUE(answer.ok());
    EXPECT_FALSE((*answer)->Take());
    EXPECT_EQ((*answer)->Result().status().code(), StatusCode::kDeadlineExceeded);
  }
  // Two at a time: this one comes when those above are gone, which is not after 30 seconds.
  const WallTime begun = absl::Now();
  EXPECT_TRUE(Ask(call.who.uid, call.who.gid, "echo x").ok());
  EXPECT_LT(absl::Now() - begun, absl::Seconds(20));
}

TEST_F(HelperProcessTest, OpensWhatWasNamedBeforeTheSeal) {
  std::ofstream(folder_ + "/named") << "content";
  std::ofstream(folder_ + "/other") << "secret";
  ASSERT_TRUE(helper_->AllowFile(folder_ + "/named").ok());
  ASSERT_TRUE(helper_->AllowFile(folder_).ok());
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowFile(folder_ + "/other").ok()) << "it is not told that it came late";
  StatusOr<std::unique_ptr<File>> file = helper_->OpenNamed(folder_ + "/named");
  ASSERT_TRUE(file.ok()) << Text(file.status());
  std::string text(7, '\0');
  EXPECT_EQ(*(*file)->ReadAt(0, text), 7u);
  EXPECT_EQ(text, "content");
  EXPECT_EQ(helper_->OpenNamed(folder_ + "/other").status().code(), StatusCode::kPermissionDenied);
  EXPECT_FALSE(helper_->OpenNamed(folder_).ok()) << "a folder";
  EXPECT_FALSE(helper_->FindPasswordHash("root").ok());
  EXPECT_FALSE(helper_->FindPasswordHash("nobody").ok());
}

// BindOf asks for a socket to be bound, and gives the errno.
int BindOf(Helper& helper, int type, const char* address, uint16_t port) {
  const IpAddress ip = *IpAddress::Parse(address);
  const int socket = ::socket(ip.is_v6() ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
  const Status bound = helper.BindSocket(socket, Endpoint{ip, port, ""});
  // The socket is the same here: it can be listened on.
  const bool listens = bound.ok() && ::listen(socket, 1) == 0;
  ::close(socket);
  return bound.ok() ? (listens ? 0 : -1) : ErrnoOf(bound);
}

TEST_F(HelperProcessTest, BindsToPortsOfMailAndThoseNamedBeforeTheSeal) {
  const int may = geteuid() == 0 ? 0 : EACCES;
  for (const char* address : {"127.63.17.4", "::1"}) {
    EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, address, 993), may) << address;
    EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, address, 1017), EACCES) << address;
    EXPECT_EQ(BindOf(*helper_, SOCK_DGRAM, address, 993), EINVAL) << address;
  }
  ASSERT_TRUE(helper_->AllowPort(1017).ok());
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "127.63.17.4", 1017), may);
  ASSERT_TRUE(helper_->Seal().ok());
  ASSERT_TRUE(helper_->AllowPort(1018).ok());
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "127.63.17.4", 1018), EACCES);
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "192.0.2.1", 25),
            geteuid() == 0 ? EADDRNOTAVAIL : EACCES);
  // It lives on, and works.
  EXPECT_EQ(BindOf(*helper_, SOCK_STREAM, "127.63.17.4", 1017), may);
}

TEST(HelperFields, ReadBackAndNothingElse) {
  const std::vector<std::string> fields = {"", "a", std::string("b\0c", 3),
                                           std::string(70'000, 'x')};
  EXPECT_EQ(DecodeFields(EncodeFields(fields), 4), fields);
  EXPECT_EQ(DecodeFields(EncodeFields(fields), 3), std::nullopt);
  const std::string whole = EncodeFields({"abc"});
  for (size_t size = 1; size < whole.size(); ++size)
    EXPECT_EQ(DecodeFields(std::string_view(whole).substr(0, size), 4), std::nullopt) << size;
  EXPECT_EQ(DecodeFields("\xff\xff\xff\xff", 4), std::nullopt);
  for (const Status& status : {OkStatus(), NotFound("gone"), ErrnoError(28, "write /x")}) {
    std::vector<std::string> text;
    AppendStatus(status, &text);
    const Status back = StatusOfFields(text, 0);
    EXPECT_EQ(back.code(), status.code());
    EXPECT_EQ(ErrnoOf(back), ErrnoOf(status));
  }
  EXPECT_EQ(StatusOfFields({"x"}, 0).code(), StatusCode::kUnavailable);
  EXPECT_EQ(StatusOfFields({"5 x", ""}, 0).code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace postern::rt
