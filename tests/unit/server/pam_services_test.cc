// The files of PAM's services, and the helper that they take.
#include "lib/server/pam_services.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"

namespace postern::server {
namespace {

class PamServicesTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, uint32_t mode) {
    ASSERT_TRUE(rt::WriteFileDurably(files_, path, "auth required pam_unix.so\n", mode).ok());
  }
  static policy::Config Using(const std::string& service, const std::string& folder) {
    policy::Config config;
    policy::Listener listener;
    listener.location = {"conf", 3, 1};
    listener.auth = policy::ListenerAuth::kRequired;
    listener.pam_service = service;
    listener.pam_folder = folder;
    config.listeners = {listener, listener};
    return config;
  }
  std::string Said(const policy::Config& config) {
    policy::Diagnostics diagnostics;
    CheckPamServices(host_.world(), config, &diagnostics);
    std::string said;
    for (const policy::Diagnostic& each : diagnostics) StrAppend(said, each.ToString(), "\n");
    return said;
  }

  rt::sim::Simulation simulation_{5};
  rt::sim::Host& host_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  rt::Files& files_ = host_.world().files();
};

TEST_F(PamServicesTest, FilesThatAreThere) {
  EXPECT_EQ(Said(policy::Config()), "");
  EXPECT_TRUE(Said(Using("smtpd", ""))
                  .starts_with("conf:3:1: warning: auth pam: there is no file "
                               "/etc/pam.d/smtpd"));
  ASSERT_TRUE(files_.MakeDirectory("/etc", 0755).ok());
  ASSERT_TRUE(files_.MakeDirectory("/etc/pam.d", 0755).ok());
  Write("/etc/pam.d/smtpd", 0644);
  EXPECT_EQ(Said(Using("smtpd", "")), "");
  ASSERT_TRUE(files_.MakeDirectory("/own", 0755).ok());
  EXPECT_EQ(Said(Using("smtpd", "/own")),
            "conf:3:1: error: auth pam: there is no file /own/smtpd, the service of PAM by which "
            "logins are to be checked\n");
  Write("/own/smtpd", 0644);
  EXPECT_EQ(Said(Using("smtpd", "/own")), "");
}

TEST_F(PamServicesTest, WhatOthersMayChangeIsRefused) {
  ASSERT_TRUE(files_.MakeDirectory("/own", 0755).ok());
  Write("/own/smtpd", 0664);
  EXPECT_TRUE(Said(Using("smtpd", "/own"))
                  .starts_with("conf:3:1: error: auth pam: /own/smtpd must "
                               "be root's"));
}

TEST_F(PamServicesTest, WithoutAHelperNobodyAsks) {
  policy::Diagnostics diagnostics;
  AllowPamServices(host_.world(), policy::Config(), &diagnostics);
  EXPECT_TRUE(diagnostics.empty());
  AllowPamServices(host_.world(), Using("smtpd", ""), &diagnostics);
  ASSERT_EQ(diagnostics.size(), 1u);
  EXPECT_TRUE(
      diagnostics[0].ToString().starts_with("conf:3:1: error: auth pam takes a helper process"));
}

}  // namespace
}  // namespace postern::server
