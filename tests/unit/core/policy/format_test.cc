#include "lib/core/policy/format.h"

#include "gtest/gtest.h"

namespace postern::policy {
namespace {

FormatContext Context() {
  FormatContext c;
  c.sender = {"Someone", "example.net"};
  c.recipient = {"heroes", "athome.tld"};
  c.destination = {"Bat+Tag", "athome.tld"};
  c.user_name = "_vmail";
  c.home = "/var/vmail";
  c.mda = "procmail -f 'x'";
  return c;
}

TEST(Format, Values) {
  const std::pair<const char*, const char*> vectors[] = {
      {"plain", "plain"},
      {"100%%", "100%"},
      {"~/Maildir", "/var/vmail/Maildir"},
      {"%{user.directory}/Maildir", "/var/vmail/Maildir"},
      {"%{USER.username}", "_vmail"},
      {"/v/%{dest.domain:lowercase}/%{dest.user:lowercase}", "/v/athome.tld/bat+tag"},
      {"%{dest.user:lowercase|strip}", "bat"},
      {"%{dest:strip}", "Bat@athome.tld"},
      {"%{dest.user:uppercase}", "BAT+TAG"},
      {"%{rcpt}", "heroes@athome.tld"},
      {"%{sender.user[0]}", "S"},
      {"%{sender.user[0:2]}", "Som"},
      {"%{sender.user[4:]}", "one"},
      {"%{sender.user[:3]}", "Some"},
      {"%{sender.user[-3:]}", "one"},
      {"%{sender.user[0:-2]}", "Someon"},
      {"%{sender.user[0:3]:lowercase}", "some"},
      {"%{mbox.from}", "Someone@example.net"},
      {"%{mda}", "procmail -f 'x'"},
      {"50% off", "50% off"},
  };
  for (const auto& [format, expected] : vectors) {
    const StatusOr<std::string> got = ExpandFormat(format, Context(), FormatUse::kPath);
    ASSERT_TRUE(got.ok()) << format << ": " << Text(got.status());
    EXPECT_EQ(*got, expected) << format;
  }
  FormatContext null_sender = Context();
  null_sender.sender = {};
  EXPECT_EQ(*ExpandFormat("%{mbox.from}", null_sender, FormatUse::kCommand), "MAILER-DAEMON");
  EXPECT_EQ(*ExpandFormat("x%{sender.user[5]}", null_sender, FormatUse::kCommand), "x");
}

TEST(Format, Mistakes) {
  for (const char* format : {"%{", "%{}", "%{nothing}", "%{dest.user[}", "%{dest.user[x]}",
                             "%{dest.user[1:y]}", "%{dest.user[:]}", "%{dest.user:what}",
                             "%{dest.user[0]x}", "%{dest.user[100:]}", "a/../b", "./b"}) {
    EXPECT_FALSE(ExpandFormat(format, Context(), FormatUse::kPath).ok()) << format;
  }
  EXPECT_TRUE(CheckFormat("%{mda}", true).ok());
  EXPECT_FALSE(CheckFormat("%{mda}", false).ok());
  EXPECT_EQ(ExpandFormat(std::string(1023, 'a'), Context(), FormatUse::kPath)->size(), 1023u);
  EXPECT_FALSE(ExpandFormat(std::string(1024, 'a'), Context(), FormatUse::kPath).ok());
}

// Whatever a stranger puts into a local part, the path stays below /v.
TEST(Format, NobodyLeavesTheDirectory) {
  const std::pair<std::string, const char*> vectors[] = {
      {"../../etc/x", "/v/..:..:etc:x/m"},
      {"/etc/passwd", "/v/:etc:passwd/m"},
      {"a/b", "/v/a:b/m"},
      {"`id`", "/v/:id:/m"},
      {"$HOME", "/v/:HOME/m"},
      {"~root", "/v/:root/m"},
      {std::string("a\nb\0c", 5), "/v/a:b:c/m"},
  };
  for (const auto& [user, expected] : vectors) {
    FormatContext context = Context();
    context.destination.local_part = user;
    const StatusOr<std::string> got = ExpandFormat("/v/%{dest.user}/m", context, FormatUse::kPath);
    ASSERT_TRUE(got.ok()) << user;
    EXPECT_EQ(*got, expected) << user;
  }
  for (const char* user : {"..", "."}) {
    FormatContext context = Context();
    context.destination.local_part = user;
    EXPECT_FALSE(ExpandFormat("/v/%{dest.user}/m", context, FormatUse::kPath).ok()) << user;
    EXPECT_FALSE(ExpandFormat("/v/%{dest.user:raw}/m", context, FormatUse::kPath).ok()) << user;
  }
  // An empty name would be the folder of all.
  for (const char* user : {"", "+x"}) {
    FormatContext context = Context();
    context.destination.local_part = user;
    for (const char* format :
         {"/v/%{dest.user:strip}/m", "/v/%{dest.user:strip}", "/v//%{dest.user:strip}/m",
          "%{dest.user:strip}/m", "/v/%{dest.user:strip}%{dest.user:lowercase|strip}"}) {
      EXPECT_FALSE(ExpandFormat(format, context, FormatUse::kPath).ok()) << user << " " << format;
    }
    EXPECT_EQ(*ExpandFormat("/v/u-%{dest.user:strip}/m", context, FormatUse::kPath), "/v/u-/m");
    EXPECT_EQ(*ExpandFormat("~//m/", context, FormatUse::kPath), "/var/vmail//m/");
    EXPECT_TRUE(ExpandFormat("x/%{dest.user:strip}", context, FormatUse::kCommand).ok());
  }
  FormatContext bounce = Context();
  bounce.sender = {};
  EXPECT_EQ(*ExpandFormat("/v/%{sender.domain}/m", bounce, FormatUse::kPath), "/v//m");
}

TEST(Format, NobodyReachesTheShell) {
  FormatContext context = Context();
  context.sender.local_part = "a;rm -rf $(x) `y` \"z\" '<>\n|&\\";
  const StatusOr<std::string> got =
      ExpandFormat("mda %{sender.user:raw}", context, FormatUse::kCommand);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->find_first_of(";()\"<>\n\\ ", 4), std::string::npos) << *got;
  EXPECT_EQ(ExpandFormat("mda %{sender.user}", context, FormatUse::kCommand)
                ->find_first_of(";()\"<>\n\\ $`'|&", 4),
            std::string::npos);
}

}  // namespace
}  // namespace postern::policy
