// What of a configuration needs root's privileges, and what a reload may not add when they are
// gone.
#include "lib/server/privileges.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/server/filter_programs.h"
#include "lib/server/server.h"

namespace postern::server {
namespace {

using Pairs = std::vector<std::pair<uint32_t, uint32_t>>;

constexpr char kBase[] =
    "mailname \"mx.example.org\"\n"
    "listen on 192.0.2.1 port 25\n"
    "action \"out\" relay\n"
    "match from any for local action \"out\"\n";

class PrivilegesTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0644).ok());
  }
  LoadedConfig Load(const std::string& config) {
    ServerOptions options;
    options.config_text = config;
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    std::string said;
    for (const policy::Diagnostic& each : loaded.diagnostics)
      StrAppend(said, each.ToString(), "\n");
    EXPECT_NE(loaded.runtime, nullptr) << said;
    return loaded;
  }

  rt::sim::Simulation simulation_{5};
  rt::sim::Host& host_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
};

TEST_F(PrivilegesTest, ThePairsOfUserbases) {
  Write("/users",
        "bob 1000:100:/home/bob\ncarol 1001:100:/home/carol\nbob2 1000:100:/srv/bob\n"
        "root 0:0:/root\nmail 8:1000:/x\n");
  Write("/passwd", "ann:x:2000:2001::/home/ann:/bin/sh\n");
  const LoadedConfig loaded = Load(
      "mailname \"mx.example.org\"\n"
      "listen on 192.0.2.1 port 25\n"
      "table users file:/users\n"
      "table others passwd:/passwd\n"
      "table written { \"v\" = \"5000:5001:/srv/v\" }\n"
      "table unused { \"w\" = \"7000:7001:/srv/w\" }\n"
      "action \"a\" maildir userbase <users>\n"
      "action \"b\" maildir userbase <others>\n"
      "action \"c\" maildir userbase <written>\n"
      "match from any for domain \"a.example\" action \"a\"\n"
      "match from any for domain \"b.example\" action \"b\"\n"
      "match from any for domain \"c.example\" action \"c\"\n");
  ASSERT_NE(loaded.runtime, nullptr);
  EXPECT_EQ(UserbasePairs(*loaded.runtime),
            (Pairs{{8, 1000}, {1000, 100}, {1001, 100}, {2000, 2001}, {5000, 5001}}));
  EXPECT_EQ(UserbasePairs(*Load(kBase).runtime), Pairs());
}

TEST_F(PrivilegesTest, WhatListenersNeed) {
  policy::Config config;
  EXPECT_FALSE(NeedsOf(config).mailboxes);
  EXPECT_FALSE(NeedsOf(config).passwords);
  policy::Listener imap, auth, table;
  imap.protocol = policy::ListenerProtocol::kImap;
  imap.location = {"conf", 1, 1};
  auth.auth = policy::ListenerAuth::kRequired;
  auth.location = {"conf", 2, 1};
  table.auth = policy::ListenerAuth::kRequired;
  table.auth_table = 0;
  config.listeners = {policy::Listener(), table};
  EXPECT_FALSE(NeedsOf(config).mailboxes);
  EXPECT_FALSE(NeedsOf(config).passwords);
  config.listeners = {imap, table, auth};
  EXPECT_TRUE(NeedsOf(config).mailboxes);
  EXPECT_TRUE(NeedsOf(config).passwords);
  const auto said = [&config](PrivilegeNeeds had) {
    policy::Diagnostics diagnostics;
    CheckReloadNeeds(config, had, &diagnostics);
    std::string lines;
    for (const policy::Diagnostic& each : diagnostics) {
      EXPECT_EQ(each.severity, policy::Severity::kError);
      const std::string text = each.ToString();
      StrAppend(lines, text.substr(0, text.find(": the server")), "\n");
    }
    return lines;
  };
  EXPECT_EQ(said({.mailboxes = true, .passwords = true}), "");
  EXPECT_EQ(said({.mailboxes = false, .passwords = false}),
            "conf:1:1: error: serving IMAP takes a restart\n"
            "conf:2:1: error: auth with the system's passwords takes a restart\n");
  EXPECT_EQ(said({.mailboxes = true, .passwords = false}),
            "conf:2:1: error: auth with the system's passwords takes a restart\n");
}

TEST_F(PrivilegesTest, ServicesOfPamAreThoseOfTheStart) {
  policy::Config config;
  policy::Listener one, two, shadow;
  one.auth = two.auth = shadow.auth = policy::ListenerAuth::kRequired;
  one.pam_service = two.pam_service = "smtpd";
  two.pam_folder = "/etc/postern/pam.d";
  one.location = {"conf", 1, 1};
  two.location = {"conf", 2, 1};
  config.listeners = {one};
  const PrivilegeNeeds had = NeedsOf(config);
  EXPECT_FALSE(had.passwords) << "the shadow file is PAM's to read";
  EXPECT_EQ(had.pam, (std::set<rt::PamService>{{"smtpd", ""}}));
  config.listeners = {one, two, one};
  EXPECT_EQ(NeedsOf(config).pam.size(), 2u);
  policy::Diagnostics diagnostics;
  CheckReloadNeeds(config, had, &diagnostics);
  ASSERT_EQ(diagnostics.size(), 1u);
  EXPECT_TRUE(diagnostics[0].ToString().starts_with(
      "conf:2:1: error: auth pam \"smtpd\" takes a restart: "));
  config.listeners = {one, shadow};
  EXPECT_TRUE(NeedsOf(config).passwords);
}

TEST_F(PrivilegesTest, ProgramsThatRunAsOthersAreThoseOfTheStart) {
  const std::string filters =
      "filter a proc-exec \"/bin/a\" user nobody\n"
      "filter b proc-exec \"/bin/b\"\n"
      "proc unused \"/bin/c\" user nobody\n";
  const PrivilegeNeeds had = NeedsOf(Load(kBase + filters).runtime->config());
  EXPECT_EQ(had.programs.size(), 1u) << "that of a";
  rt::Account account;
  account.uid = account.gid = 12;
  const LoadedConfig loaded = Load(kBase + filters);
  const auto named = ProgramsForHelper(host_.world(), loaded.runtime->config(), account);
  for (const auto& [name, spec] : named) {
    EXPECT_TRUE(had.programs.contains(name));
    EXPECT_EQ(spec.argv.back(), "exec /bin/a");
  }
  const auto said = [this, &had, &filters](const std::string& more) {
    const LoadedConfig other = Load(kBase + filters + more);
    policy::Diagnostics diagnostics;
    CheckReloadNeeds(other.runtime->config(), had, &diagnostics);
    return diagnostics.size();
  };
  EXPECT_EQ(said(""), 0u);
  EXPECT_EQ(said("filter c proc-exec \"/bin/a\" user nobody timeout answer 5s\n"), 0u)
      << "the same program";
  EXPECT_EQ(said("filter c proc-exec \"/bin/c\"\n"), 0u) << "as the server";
  EXPECT_EQ(said("filter c proc-exec \"/bin/a\" user mail\n"), 1u);
  EXPECT_EQ(said("filter c proc-exec \"/bin/a -x\" user nobody\nfilter d proc-exec \"/bin/a\" "
                 "chroot \"/var/empty\"\n"),
            2u);
}

}  // namespace
}  // namespace postern::server
