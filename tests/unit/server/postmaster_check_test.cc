// What is said of configurations under which postmaster's mail is refused, and that nothing is said
// of others.
#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/server/server.h"

namespace postern::server {
namespace {

class PostmasterCheckTest : public ::testing::Test {
 protected:
  PostmasterCheckTest() {
    host_.AddAccount({.name = "alice", .uid = 1000, .gid = 1000, .home = "/home/alice"});
    Write("/aliases", "root: alice\n");
    Write("/with-postmaster", "postmaster: root\nroot: alice\n");
  }
  void Write(const std::string& path, const std::string& text) {
    EXPECT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0644).ok());
  }
  // Findings are the warnings, each with its place, one a line.
  std::string Findings(const std::string& config) {
    ServerOptions options;
    options.config_text = StrCat("mailname \"mx.example.org\"\n", config);
    const LoadedConfig loaded = LoadConfig(host_.world(), options);
    EXPECT_NE(loaded.runtime, nullptr) << config;
    std::string out;
    for (const policy::Diagnostic& each : loaded.diagnostics) StrAppend(out, each.ToString(), "\n");
    return out;
  }

  rt::sim::Simulation simulation_{11};
  rt::sim::Host& host_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
};

constexpr char kListen[] = "listen on 192.0.2.1 port 25\n";

TEST_F(PostmasterCheckTest, SaysWhichLineIsMissing) {
  EXPECT_EQ(Findings(StrCat(kListen,
                            "table aliases file:/aliases\n"
                            "action \"here\" mbox alias <aliases>\n"
                            "match from any for local action \"here\"\n")),
            "<text>:5:1: warning: mail for postmaster@mx.example.org has nowhere to go (no such "
            "account: postmaster@mx.example.org -> postmaster); the line \"postmaster: you\" in "
            "/aliases mends it\n");
  EXPECT_EQ(
      Findings(StrCat(kListen,
                      "table users { \"alice@example.org\" = \"alice\" }\n"
                      "action \"here\" mbox virtual <users>\n"
                      "action \"out\" relay\n"
                      "match from any for domain \"Example.org\" action \"here\"\n"
                      "match from any for local action \"out\"\n")),
      "<text>:6:1: warning: mail for postmaster@example.org has nowhere to go (no virtual "
      "user: postmaster@example.org); the entry \"postmaster@example.org\" = \"you\" in table "
      "users mends it\n");
  EXPECT_EQ(
      Findings(StrCat(kListen,
                      "action \"here\" mbox\n"
                      "match from any for local action \"here\"\n")),
      "<text>:4:1: warning: mail for postmaster@mx.example.org has nowhere to go (no such "
      "account: postmaster@mx.example.org -> postmaster); action \"here\" has no alias table; "
      "this mends it: alias { postmaster = \"you\" }\n");
}

TEST_F(PostmasterCheckTest, AnAliasThatIsThereIsChangedAndNotAdded) {
  const auto with = [](std::string_view action) {
    return StrCat(kListen, "table a file:/with-postmaster\naction \"list\" ", action,
                  "\nmatch from any for local action \"list\"\n");
  };
  const std::string front =
      "<text>:5:1: warning: mail for postmaster@mx.example.org has nowhere to go (";
  EXPECT_EQ(
      Findings(with("expand-only alias <a>")),
      StrCat(front,
             "expand-only, and no .forward: postmaster@mx.example.org -> postmaster -> root -> "
             "alice); change what \"postmaster\" stands for in /with-postmaster: action "
             "\"list\" delivers to no user, so that it has to be an address that another rule "
             "takes\n"));
  EXPECT_EQ(
      Findings(with("mbox alias { postmaster = \"nobody-here\" }")),
      StrCat(front,
             "no such account: postmaster@mx.example.org -> postmaster -> nobody-here); change "
             "what \"postmaster\" stands for in the table of action \"list\"\n"));
  EXPECT_EQ(Findings(with("expand-only alias { team = \"a@b.test\" }")),
            StrCat(front,
                   "no such account: postmaster@mx.example.org -> postmaster); the entry "
                   "\"postmaster\" = \"you@example.org\" in the table of action \"list\" mends "
                   "it\n"));
}

TEST_F(PostmasterCheckTest, SaysThatNoRuleTakesIt) {
  EXPECT_EQ(Findings(StrCat(kListen,
                            "action \"here\" mbox alias { postmaster = \"alice\" }\n"
                            "match from any for domain \"example.org\" action \"here\"\n")),
            "<text>: warning: mail for postmaster@mx.example.org has nowhere to go (no rule takes "
            "postmaster@mx.example.org); a rule that takes it mends it, like match from any for "
            "local action \"NAME\", and an alias postmaster: you\n");
  // From here the rule for all others takes it; a stranger has none.
  const std::string_view rules =
      "action \"here\" mbox alias { postmaster = \"alice\" }\naction \"out\" relay\n"
      "match from any for domain \"example.org\" action \"here\"\nmatch for any action \"out\"\n";
  EXPECT_EQ(Findings(StrCat(kListen, rules)),
            "<text>: warning: mail from elsewhere for postmaster@mx.example.org has nowhere to go "
            "(no rule takes postmaster@mx.example.org); a rule that takes it mends it, like match "
            "from any for local action \"NAME\", and an alias postmaster: you\n");
  EXPECT_EQ(Findings(StrCat("listen on 127.0.0.1 port 25\n", rules)), "");
}

TEST_F(PostmasterCheckTest, IsSilentWhereItLands) {
  const std::string configs[] = {
      "table aliases file:/with-postmaster\naction \"here\" mbox alias <aliases>\n"
      "match from any for local action \"here\"\n",
      "action \"here\" mbox alias { \"postmaster\" = \"someone@else.example\" "
      "}\n"
      "action \"out\" relay\n"
      "match from any for local action \"here\"\nmatch for any action \"out\"\n",
      "action \"here\" maildir \"/mail/%{dest.user}\" virtual { \"@\" = \"alice\" }\n"
      "match from any for domain { \"example.org\", \"mx.example.org\" } action \"here\"\n",
      // Where all goes on, the next server decides.
      "action \"out\" relay\nmatch for any action \"out\"\n",
      // The operator's own word.
      "action \"here\" mbox\nmatch from any for rcpt-to \"postmaster@mx.example.org\" reject\n"
      "match from any for local action \"here\"\n",
  };
  for (const std::string& config : configs)
    EXPECT_EQ(Findings(StrCat(kListen, config)), "") << config;
}

TEST_F(PostmasterCheckTest, AsksWhereMailIsTakenOnly) {
  const std::string rules = "action \"here\" mbox\nmatch from any for local action \"here\"\n";
  EXPECT_NE(Findings(StrCat(kListen, rules)), "");
  EXPECT_EQ(Findings(rules), "");
}

}  // namespace
}  // namespace postern::server
