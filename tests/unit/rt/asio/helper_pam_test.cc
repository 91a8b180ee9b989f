// PAM asked by the helper, with the machine's libpam and services in a folder of the test's.
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/asio/helper_process.h"
#include "lib/rt/helper.h"

namespace postern::rt {
namespace {

constexpr Duration kLong = absl::Seconds(60);

class HelperPamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    void* const library = dlopen("libpam.so.0", RTLD_NOW | RTLD_LOCAL);
    const bool has_folders = library != nullptr && dlsym(library, "pam_start_confdir") != nullptr;
    if (library != nullptr) dlclose(library);
    if (!has_folders) GTEST_SKIP() << "no libpam of 1.4 or later";
    char name[] = "/tmp/postern-pam-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    Service("open", "auth required pam_permit.so\naccount required pam_permit.so\n");
    Service("shut", "auth required pam_deny.so\naccount required pam_permit.so\n");
    Service("closed", "auth required pam_permit.so\naccount required pam_deny.so\n");
    Service("without", "auth required no_such_module.so\naccount required pam_permit.so\n");
    Service("other", "auth required pam_deny.so\naccount required pam_deny.so\n");
    Program("hang", "exec sleep 600");
    Program("die", "kill -9 $PPID");
    Program("ask", "[ \"$(tr -d '\\000')\" = 'the password' ] && [ \"$PAM_RHOST\" = 192.0.2.7 ]");
    HelperOptions options;
    options.max_pam = 2;
    StatusOr<std::unique_ptr<Helper>> helper = StartHelper(std::move(options));
    ASSERT_TRUE(helper.ok()) << Text(helper.status());
    helper_ = *std::move(helper);
    for (const char* each :
         {"open", "shut", "closed", "without", "hang", "die", "ask", "ask-alone", "missing"})
      ASSERT_TRUE(helper_->AllowPam({each, folder_}).ok());
    ASSERT_TRUE(helper_->Seal().ok());
  }
  void TearDown() override {
    helper_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  void Service(const std::string& name, const std::string& text) {
    std::ofstream(StrCat(folder_, "/", name)) << text;
  }
  // Program makes a service of `name` that a shell's command decides.
  void Program(const std::string& name, const std::string& command) {
    const std::string path = StrCat(folder_, "/", name, ".sh");
    std::ofstream(path) << "#!/bin/sh\n" << command << "\n";
    chmod(path.c_str(), 0755);
    Service(name, StrCat("auth [success=1 default=ignore] pam_exec.so quiet expose_authtok ", path,
                         "\nauth requisite pam_deny.so\nauth required pam_permit.so\n"
                         "account required pam_permit.so\n"));
    Service(name + "-alone", StrCat("auth required pam_exec.so quiet expose_authtok ", path,
                                    "\naccount required pam_permit.so\n"));
  }
  PamQuestion QuestionTo(const std::string& service, std::optional<std::string> password,
                         const std::string& user = "somebody") const {
    PamQuestion question;
    question.service = {service, folder_};
    question.user = user;
    question.password = std::move(password);
    question.remote = "192.0.2.7";
    return question;
  }
  StatusOr<PamAnswer> Ask(const PamQuestion& question, Duration limit = kLong) {
    StatusOr<std::unique_ptr<HelperAnswer>> asked = helper_->BeginPam(question, limit);
    if (!asked.ok()) return asked.status();
    (*asked)->Wait(kLong);
    const StatusOr<std::string> octets = (*asked)->Result();
    if (!octets.ok()) return octets.status();
    return DecodePamAnswer(*octets);
  }
  // Judge says "in", "no: REASON" or the error's code.
  std::string Judge(const PamQuestion& question, Duration limit = kLong) {
    const StatusOr<PamAnswer> answer = Ask(question, limit);
    if (!answer.ok()) return StrCat("error ", static_cast<int>(answer.status().code()));
    return answer->accepted ? "in" : StrCat("no: ", answer->reason);
  }
  // IsGone waits for the end of a process.
  static bool IsGone(const std::string& pid) {
    for (int turn = 0; turn < 500; ++turn) {
      std::string stat;
      std::getline(std::ifstream("/proc/" + pid + "/stat"), stat);
      if (stat.empty() || stat.find(") Z ") != std::string::npos) return true;
      absl::SleepFor(absl::Milliseconds(20));
    }
    return false;
  }
  static std::string ErrorOf(StatusCode code) { return StrCat("error ", static_cast<int>(code)); }

  std::string folder_;
  std::unique_ptr<Helper> helper_;
};

TEST_F(HelperPamTest, WhatServicesDecide) {
  EXPECT_EQ(Judge(QuestionTo("open", "x")), "in");
  EXPECT_TRUE(Judge(QuestionTo("shut", "x")).starts_with("no: pam_authenticate: "));
  EXPECT_TRUE(Judge(QuestionTo("closed", "x")).starts_with("no: pam_acct_mgmt: "));
  EXPECT_EQ(Judge(QuestionTo("ask", "the password")), "in");
  EXPECT_TRUE(Judge(QuestionTo("ask", "another")).starts_with("no: pam_authenticate: "));
  EXPECT_EQ(Judge(QuestionTo("ask-alone", "the password")), "in");
  EXPECT_EQ(Judge(QuestionTo("ask-alone", "another")), ErrorOf(StatusCode::kAborted))
      << "PAM_SYSTEM_ERR is pam_exec's word for no";
  EXPECT_EQ(Judge(QuestionTo("without", "x")), ErrorOf(StatusCode::kUnavailable))
      << "a module that is not there says nothing of the user";
}

TEST_F(HelperPamTest, WhatIsNotAsked) {
  for (const std::string& password : {std::string(), std::string("a\0b", 3), std::string(512, 'x')})
    EXPECT_TRUE(Judge(QuestionTo("open", password)).starts_with("no: the password"));
  EXPECT_EQ(Judge(QuestionTo("open", std::string(511, 'x'))), "in");
  EXPECT_TRUE(Judge(QuestionTo("open", "x", "root")).starts_with("no: root"));
  EXPECT_EQ(Judge(QuestionTo("open", "x", "")), "no: no user");
  // Without a password the account is all that there is to ask about.
  EXPECT_EQ(Judge(QuestionTo("shut", std::nullopt, "nobody")), "in");
  EXPECT_TRUE(Judge(QuestionTo("closed", std::nullopt, "nobody")).starts_with("no: pam_acct_mgmt"));
  EXPECT_TRUE(Judge(QuestionTo("shut", std::nullopt)).starts_with("no: no account"));
}

TEST_F(HelperPamTest, OnlyServicesThatWereNamed) {
  Service("late", "auth required pam_permit.so\naccount required pam_permit.so\n");
  EXPECT_EQ(Judge(QuestionTo("late", "x")), ErrorOf(StatusCode::kPermissionDenied));
  ASSERT_TRUE(helper_->AllowPam({"late", folder_}).ok()) << "it is not told that it came late";
  EXPECT_EQ(Judge(QuestionTo("late", "x")), ErrorOf(StatusCode::kPermissionDenied));
  PamQuestion elsewhere = QuestionTo("open", "x");
  elsewhere.service.folder += "/.";
  EXPECT_EQ(Judge(elsewhere), ErrorOf(StatusCode::kPermissionDenied));
  EXPECT_TRUE(Judge(QuestionTo("missing", "x")).starts_with("no: ")) << "`other` refuses";
}

TEST_F(HelperPamTest, OneThatHangsOrDies) {
  const absl::Time begun = absl::Now();
  EXPECT_EQ(Judge(QuestionTo("die", "x")), ErrorOf(StatusCode::kInternal));
  // What a module runs is killed with it, in whatever session it is.
  const std::string pid_file = StrCat(folder_, "/pid");
  Program("hang", StrCat("echo $$ > ", pid_file, "; exec sleep 600"));
  EXPECT_EQ(Judge(QuestionTo("hang", "x"), absl::Seconds(2)), ErrorOf(StatusCode::kInternal));
  std::string pid;
  std::getline(std::ifstream(pid_file), pid);
  EXPECT_TRUE(pid.empty() || IsGone(pid)) << "it is still there";
  // Two are all that may be asked at once, and places come back from those that nobody awaits.
  {
    const auto one = helper_->BeginPam(QuestionTo("hang", "x"), kLong);
    const auto two = helper_->BeginPam(QuestionTo("hang", "x"), kLong);
    ASSERT_TRUE(one.ok() && two.ok());
    EXPECT_EQ(Judge(QuestionTo("open", "x")), ErrorOf(StatusCode::kUnavailable));
  }
  std::string judged;
  while (judged != "in" && absl::Now() - begun < kLong) {
    judged = Judge(QuestionTo("open", "x"));
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_EQ(judged, "in");
}

}  // namespace
}  // namespace postern::rt
