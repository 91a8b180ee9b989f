// Files of before 6.4 in today's words.
#include "lib/core/policy/upgrade.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;

struct Row {
  const char* old;
  const char* today;
};

TEST(Upgrade, Lines) {
  const Row rows[] = {
      // settings
      {"max-message-size 35M\n", "smtp max-message-size 35M\n"},
      {"max-message-size 1000\n", "smtp max-message-size 1000\n"},
      {"bounce-warn 1h, 4h\n", "bounce warn-interval 1h, 4h\n"},
      {"expire 4d  # days\n", "queue ttl 4d  # days\n"},
      {"subaddressing-delimiter +\n", "smtp sub-addr-delim \"+\"\n"},
      {"subaddressing-delimiter \"-\"\n", "smtp sub-addr-delim \"-\"\n"},
      {"ciphers \"HIGH\"\n", "smtp ciphers \"HIGH\"\n"},
      {"limit mta for domain x.tld max-conn-per-host 3\n",
       "mta limit for domain x.tld max-conn-per-host 3\n"},
      {"limit session max-mails 10\n", "smtp limit max-mails 10\n"},
      {"limit scheduler max-inflight 10\n", "scheduler limit max-inflight 10\n"},
      // certificates and listeners
      {"pki mx.x.tld certificate \"/c\"\n", "pki mx.x.tld cert \"/c\"\n"},
      {"ca x certificate \"/c\"\n", "ca x cert \"/c\"\n"},
      {"listen on egress tls pki mx.x.tld mask-source\n",
       "listen on egress tls pki mx.x.tld mask-src\n"},
      {"listen on egress port 587 tls-require certificate x auth\n",
       "listen on egress port 587 tls-require pki x auth\n"},
      {"listen on egress secure pki x\n",
       "listen on egress tls pki x\nlisten on egress smtps pki x\n"},
      {"listen on egress port 587 secure pki x\n", "listen on egress port 587 tls pki x\n"},
      // rules
      {"accept from any for domain x.tld deliver to mbox\n",
       "action \"mbox\" mbox\nmatch from any for domain x.tld action \"mbox\"\n"},
      {"accept for local alias <aliases> deliver to maildir\n",
       "action \"maildir\" maildir alias <aliases>\nmatch for local action \"maildir\"\n"},
      {"accept for any relay\n", "action \"relay\" relay\nmatch for any action \"relay\"\n"},
      {"accept tagged DKIM for any relay\n",
       "action \"relay\" relay\nmatch for any tag DKIM action \"relay\"\n"},
      {"accept from ! source <bad> for ! domain <ours> relay\n",
       "action \"relay\" relay\nmatch !from src <bad> !for domain <ours> action \"relay\"\n"},
      {"accept from source 192.0.2.1 for any relay\n",
       "action \"relay\" relay\nmatch from src 192.0.2.1 for any action \"relay\"\n"},
      {"accept authenticated for any relay\n",
       "action \"relay\" relay\nmatch from any for any auth action \"relay\"\n"},
      {"reject ! authenticated for any\n", "match for any !auth reject\n"},
      {"accept sender <authors> for domain { \"x.org\" } relay via \"smtp://r.x.org\" tls\n",
       "action \"relay\" relay host \"smtp+tls://r.x.org\" tls no-verify\n"
       "match for domain { \"x.org\" } mail-from <authors> action \"relay\"\n"},
      {"accept from any sender <friends> recipient ! \"x@y.tld\" for any relay\n",
       "action \"relay\" relay\nmatch from any for any mail-from <friends> !rcpt-to \"x@y.tld\" "
       "action \"relay\"\n"},
      {"reject from source { 192.0.2.1, 192.0.2.2 } for any\n",
       "match from src { 192.0.2.1, 192.0.2.2 } for any reject\n"},
      {"accept from any for domain { a.tld,\n  b.tld } virtual <v> deliver to maildir "
       "\"/v/%{dest}\"\n",
       "action \"maildir\" maildir \"/v/%{dest}\" virtual <v>\n"
       "match from any for domain { a.tld, b.tld } action \"maildir\"\n"},
      {"accept from any \\\n for domain $ours deliver to mda \"procmail -f -\" as bob\n",
       "action \"mda\" mda \"procmail -f -\" user bob\n"
       "match from any for domain $ours action \"mda\"\n"},
      {"accept for local deliver to lmtp \"/run/lmtp\" rcpt-to expire 1d\n",
       "action \"lmtp\" lmtp \"/run/lmtp\" rcpt-to ttl 1d\nmatch for local action \"lmtp\"\n"},
      {"accept for any alias <a> userbase <u> deliver to mbox\n",
       "action \"mbox\" mbox alias <a> userbase <u>\nmatch for any action \"mbox\"\n"},
      // relays
      {"accept for any relay via tls+auth://label@mail.x.tld:587 auth <secrets> as \"@x.tld\"\n",
       "action \"relay\" relay host \"smtp+tls://label@mail.x.tld:587\" mail-from \"@x.tld\" auth "
       "<secrets> tls no-verify\nmatch for any action \"relay\"\n"},
      {"accept for any relay via mail.x.tld\n",
       "action \"relay\" relay host \"smtp://mail.x.tld\"\nmatch for any action \"relay\"\n"},
      {"accept for any relay via smtp://127.0.0.1:10027\n",
       "action \"relay\" relay host \"smtp+notls://127.0.0.1:10027\"\n"
       "match for any action \"relay\"\n"},
      {"accept for any relay via \"secure://mail.x.tld\"\n",
       "action \"relay\" relay host \"smtps://mail.x.tld\" tls no-verify\n"
       "match for any action \"relay\"\n"},
      // TLS was not verified unless the rule said so
      {"accept for any relay tls\n",
       "action \"relay\" relay tls no-verify\nmatch for any action \"relay\"\n"},
      {"accept for any relay pki m tls verify\n",
       "action \"relay\" relay pki m tls\nmatch for any action \"relay\"\n"},
      {"accept for any relay via tls://h.x.tld\n",
       "action \"relay\" relay host \"smtp+tls://h.x.tld\" tls no-verify\n"
       "match for any action \"relay\"\n"},
      {"accept for any relay via tls://h.x.tld verify\n",
       "action \"relay\" relay host \"smtp+tls://h.x.tld\"\nmatch for any action \"relay\"\n"},
      {"accept for any relay via \"smtps+auth://l@h.x.tld\" auth <secrets> verify expire 2d\n",
       "action \"relay\" relay host \"smtps://l@h.x.tld\" auth <secrets> ttl 2d\n"
       "match for any action \"relay\"\n"},
      {"accept for any relay pki m verify\n",
       "action \"relay\" relay pki m tls\nmatch for any action \"relay\"\n"},
      {"accept for any relay via smtp+tls://h.x.tld verify\n",
       "action \"relay\" relay host \"smtp://h.x.tld\" tls\nmatch for any action \"relay\"\n"},
      {"accept for any relay via smtp+tls://h.x.tld\n",
       "action \"relay\" relay host \"smtp://h.x.tld\"\nmatch for any action \"relay\"\n"},
      {"accept for any relay source <a> hostname mx.x.tld\n",
       "action \"relay\" relay src <a> helo mx.x.tld\nmatch for any action \"relay\"\n"},
      {"accept from any for domain x.tld relay backup mx1.x.tld expire 10d\n",
       "action \"relay\" relay backup mx mx1.x.tld ttl 10d\n"
       "match from any for domain x.tld action \"relay\"\n"},
      {"accept for any relay tls no-verify\n",
       "action \"relay\" relay tls no-verify\nmatch for any action \"relay\"\n"},
      // the same action once, another one under another name
      {"accept for any relay\naccept from any for domain x.tld relay\naccept for local relay "
       "backup\n",
       "action \"relay\" relay\nmatch for any action \"relay\"\n"
       "match from any for domain x.tld action \"relay\"\n"
       "action \"relay_2\" relay backup\nmatch for local action \"relay_2\"\n"},
      // what means the same stays, blanks and comments included
      {"table  x   { a,  b }   # mine\nlan=\"192.0.2.0/24\"\n\n# accept for any relay\n",
       "table  x   { a,  b }   # mine\nlan=\"192.0.2.0/24\"\n\n# accept for any relay\n"},
      {"action \"relay\" relay\nmatch for any action \"relay\"\nfilter f phase connect match rdns "
       "junk\n",
       "action \"relay\" relay\nmatch for any action \"relay\"\nfilter f phase connect match rdns "
       "junk\n"},
      {"queue compression\n", "queue compression\n"},
  };
  for (const Row& row : rows) {
    const Upgrade upgrade = UpgradeConfig("old.conf", row.old);
    EXPECT_EQ(upgrade.text, row.today);
    EXPECT_EQ(upgrade.diff.empty(), upgrade.text == row.old) << row.old;
    EXPECT_FALSE(HasErrors(upgrade.diagnostics)) << upgrade.diagnostics[0].ToString();
    EXPECT_EQ(UpgradeConfig("new.conf", upgrade.text).diff, "") << "nothing is left to change";
  }
}

// Who had logged in was local.
TEST(Upgrade, LoginsCountedAsLocal) {
  const Upgrade upgrade = UpgradeConfig("old.conf",
                                        "listen on egress tls pki x auth\naccept for any relay\n"
                                        "accept from any for domain x.tld deliver to mbox\n");
  EXPECT_EQ(upgrade.text,
            "listen on egress tls pki x auth\naction \"relay\" relay\n"
            "match for any action \"relay\"\nmatch auth from any for any action \"relay\"\n"
            "action \"mbox\" mbox\nmatch from any for domain x.tld action \"mbox\"\n");
}

TEST(Upgrade, TellsWhatCannotBeSaid) {
  struct Told {
    const char* old;
    int line;
    bool is_error;
    const char* says;
  };
  const Told rows[] = {
      {"\nfilter clamav \"/usr/libexec/filter-clamav\"\n", 2, true, "another protocol"},
      {"accept for any\n", 1, true, "neither deliver nor relay"},
      {"accpt for any relay\n", 1, true, "did you mean \"accept\""},
      {"listen on lo0 secure 'x\nexpire 4d\n", 1, true, "stays as it is"},
      {"accept for any deliver to pigeon\n", 1, true, "pigeon"},
      {"accept for any frobnicate relay\n", 1, true, "from \"frobnicate\" on"},
      {"accept for any relay via gopher://x.tld\n", 1, true, "no protocol gopher"},
      {"limit smtp max 3\n", 1, true, "no limit smtp"},
      {"accept for any relay via secure://x.tld\n", 1, false, "tried smtps and then STARTTLS"},
      {"accept for any relay via <hosts>\n", 1, false, "are not converted"},
      {"accept for any relay via $relay\n", 1, false, "could not be seen"},
      {"pki x dhparams \"/dh\"\n", 1, false, "dhe auto"},
      {"accept for any relay pki m verify\n", 1, false, "it is written tls now"},
      {"accept for any relay via smtp+tls://x.tld verify\n", 1, false, "it is written tls now"},
      // Words of a listener that today's grammar does not have there.
      {"listen on lo0 port 465 smtps pki m auth-optional verify\n", 1, true, "\"verify\""},
      {"listen on lo0 tls-require verify pki m secure2\n", 1, true, "\"secure2\""},
  };
  for (const Told& row : rows) {
    const Upgrade upgrade = UpgradeConfig("old.conf", row.old);
    ASSERT_EQ(upgrade.diagnostics.size(), 1u) << row.old;
    const Diagnostic& told = upgrade.diagnostics[0];
    EXPECT_EQ(told.location.line, row.line) << row.old;
    EXPECT_EQ(told.severity == Severity::kError, row.is_error) << row.old;
    EXPECT_THAT(told.message, HasSubstr(row.says));
  }
  EXPECT_EQ(UpgradeConfig("f", "filter x \"/y\"  # z\n").text, "# filter x \"/y\"  # z\n")
      << "what cannot be said stays as a comment";
}

// A listener in today's words is none of an upgrade's business, whatever it holds.
TEST(Upgrade, ListenersOfToday) {
  for (const char* line :
       {"listen on $if port 25 tls pki \"m\" filter { a, b } tag verify hostname \"h\"\n",
        "listen on egress inet4 port submission tls-require verify ca c pki m auth <users> senders "
        "<map> masquerade received-auth\n",
        "listen on \"192.0.2.1\" smtps auth-optional <u> hostnames <n> mask-src no-dsn proxy-v2\n",
        "listen on lo0 tls $more verify\n", "listen on socket filter f mask-src tag T\n",
        "listen on egress port 143 proto imap tls pki m auth protocols \"TLSv1.3\" ciphers "
        "\"HIGH\" inet6\n"}) {
    const Upgrade upgrade = UpgradeConfig("f", line);
    EXPECT_EQ(upgrade.diff, "") << line;
    EXPECT_TRUE(upgrade.diagnostics.empty()) << line << upgrade.diagnostics[0].ToString();
  }
}

// What an upgrade made needs none, whatever it was made of; a name that a statement left as it is
// would have had is free.
TEST(Upgrade, OfAnUpgradeChangesNothing) {
  for (const char* text :
       {"listen on egress secure certificate x\naccept m ! svias 'ostnames\nexpire 4d\n",
        "expire 4d 'x\nexpire 5d\n", "listen on egress secure certificate \"x\ny\" secure\n",
        "accept for any relay as \"a\nb\"\naccept for any relay as c", "expire \"4\nd\" expire",
        "limit session limit mta", "ciphers + \\\n- \"\n'", "pki x certificate certificate '"}) {
    const Upgrade upgrade = UpgradeConfig("f", text);
    EXPECT_EQ(UpgradeConfig("f", upgrade.text).text, upgrade.text) << text;
    EXPECT_EQ(upgrade.diff.empty(), upgrade.text == text) << text;
  }
}

constexpr char kOld[] =
    "# the mail of x.tld\n"
    "pki mx.x.tld certificate \"/etc/ssl/mx.x.tld.crt\"\n"
    "pki mx.x.tld key \"/etc/ssl/private/mx.x.tld.key\"\n"
    "\n"
    "table aliases { root = bob }\n"
    "table secrets { label = \"u:p\" }\n"
    "max-message-size 35M\n"
    "queue compression\n"
    "expire 4d\n"
    "\n"
    "listen on lo0\n"
    "listen on lo0 port 10028 tag DKIM\n"
    "listen on all tls pki mx.x.tld mask-source\n"
    "listen on all port submission tls-require pki mx.x.tld auth\n"
    "\n"
    "accept from local for local alias <aliases> deliver to mbox\n"
    "accept from any for domain x.tld alias <aliases> deliver to maildir \"~/Maildir\"\n"
    "accept tagged DKIM for any relay via tls+auth://label@mail.y.tld auth <secrets>\n"
    "accept from local for any relay via smtp://127.0.0.1:10027\n"
    "reject from any for any\n";

// A whole file, and what the parser makes of the result.
TEST(Upgrade, WholeFileIsReadAsToday) {
  const Upgrade upgrade = UpgradeConfig("old.conf", kOld);
  EXPECT_TRUE(upgrade.diagnostics.empty()) << upgrade.diagnostics[0].ToString();
  MemoryLoader loader("new.conf", upgrade.text);
  const ParseResult result = Parse("new.conf", loader);
  ASSERT_NE(result.config, nullptr) << result.diagnostics[0].ToString() << "\n" << upgrade.text;
  EXPECT_EQ(result.config->actions.size(), 4u);
  EXPECT_EQ(result.config->rules.size(), 8u) << "five, and three more for logins";
  EXPECT_EQ(result.config->queue.ttl, absl::Hours(96));
  EXPECT_TRUE(result.config->listeners[2].mask_src);
}

TEST(Upgrade, Diff) {
  std::string old =
      "one\ntwo\nthree\nfour\nexpire 4d\nsix\nseven\neight\nnine\nten\neleven\ntwelve\n";
  EXPECT_EQ(
      UpgradeConfig("f.conf", old + "accept for any relay\nlast").diff,
      "--- f.conf\n+++ f.conf\n"
      "@@ -2,7 +2,7 @@\n two\n three\n four\n-expire 4d\n+queue ttl 4d\n six\n seven\n eight\n"
      "@@ -10,5 +10,6 @@\n ten\n eleven\n twelve\n-accept for any relay\n"
      "+action \"relay\" relay\n+match for any action \"relay\"\n last\n"
      "\\ No newline at end of file\n");
  EXPECT_EQ(UpgradeConfig("f.conf", "expire 4d").diff,
            "--- f.conf\n+++ f.conf\n@@ -1,1 +1,1 @@\n-expire 4d\n\\ No newline at end of file\n"
            "+queue ttl 4d\n");
  EXPECT_EQ(UpgradeConfig("f.conf", "").diff, "");
}

TEST(Upgrade, BoundsAndOddText) {
  UpgradeLimits limits;
  limits.max_bytes = 10;
  EXPECT_TRUE(HasErrors(UpgradeConfig("f", "expire 4d  #", limits).diagnostics));
  for (const char* text : {"accept", "accept !", "accept from", "accept for any relay via",
                           "accept { { {", "accept \"", "listen", "pki", "limit mta", "expire",
                           "reject !", "accept for any deliver to", "accept for any relay backup",
                           "}}}}", "\\", "accept \\", "accept for any relay as"}) {
    const Upgrade upgrade = UpgradeConfig("f", text);
    EXPECT_EQ(UpgradeConfig("f", upgrade.text).diff, "") << text;
  }
}

}  // namespace
}  // namespace postern::policy
