// The language: words, directives, defaults, and what is said about mistakes.
#include "lib/core/policy/parse.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/lexer.h"

namespace postern::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ParseResult ParseText(const std::string& text, const ParseOptions& options = {}) {
  MemoryLoader loader("smtpd.conf", text);
  return Parse("smtpd.conf", loader, options);
}

std::string Listing(const ParseResult& result) {
  std::string out;
  for (const Diagnostic& d : result.diagnostics) StrAppend(out, d.ToString(), "\n");
  return out;
}

// The rules that every accepted text needs.
constexpr const char* kTail = "action \"out\" relay\nmatch for any action \"out\"\n";

std::vector<std::string> Lex(const std::string& text) {
  Diagnostics diagnostics;
  Lexer lexer({1000, 100000}, &diagnostics);
  lexer.SetMacro("name", "one two", false);
  lexer.SetMacro("net", "192.0.2.0", false);
  lexer.PushFile("f", text);
  std::vector<std::string> out;
  for (Token token = lexer.Next(); token.kind != TokenKind::kEnd; token = lexer.Next()) {
    const char* kinds = "wrqns\\.!";
    out.push_back(StrCat(std::string(1, kinds[static_cast<int>(token.kind)]), ":", token.text));
  }
  for (const Diagnostic& d : diagnostics) out.push_back(d.ToString());
  return out;
}

TEST(Lexer, Words) {
  EXPECT_THAT(Lex("listen on lo0"), ElementsAre("r:listen", "r:on", "w:lo0"));
  EXPECT_THAT(Lex("port 25"), ElementsAre("r:port", "n:25"));
  EXPECT_THAT(Lex("4h 192.0.2.1 25,26}"),
              ElementsAre("w:4h", "w:192.0.2.1", "n:25", "s:,", "n:26", "s:}"));
  EXPECT_THAT(Lex("a=>b c = d"), ElementsAre("w:a", "s:=>", "w:b", "w:c", "s:=", "w:d"));
  EXPECT_THAT(Lex("smtp+tls://x@h:25"), ElementsAre("w:smtp+tls://x@h:25"));
  EXPECT_THAT(Lex("*"), ElementsAre("s:*"));
  EXPECT_THAT(Lex("~/x"), ElementsAre("s:~", "s:/", "w:x"));
  EXPECT_THAT(Lex("<t> !x"), ElementsAre("s:<", "w:t", "s:>", "s:!", "w:x"));
}

TEST(Lexer, QuotesAndComments) {
  EXPECT_THAT(Lex("\"a b\" 'c \"d'"), ElementsAre("q:a b", "q:c \"d"));
  EXPECT_THAT(Lex("'\\.dyn' \"\\\\\" \"\\\"\""), ElementsAre("q:\\.dyn", "q:\\\\", "q:\""));
  EXPECT_THAT(Lex("'a\\ b\\\nc\nd'"), ElementsAre("q:a bcd"));
  EXPECT_THAT(Lex("a # b\nc"), ElementsAre("w:a", "\\:", "w:c"));
  EXPECT_THAT(Lex("# a \\\nstill\nc"), ElementsAre("\\:", "w:c"));
  EXPECT_THAT(Lex("a \\\n b"), ElementsAre("w:a", "w:b"));
  EXPECT_THAT(Lex("a\n \"b"),
              ElementsAre("w:a", "\\:", "!:",
                          "f:2:2: error: reached end of file inside a quoted string that starts at "
                          "line 2: the closing \" is missing"));
}

TEST(Lexer, Macros) {
  EXPECT_THAT(Lex("$name \"$name\""), ElementsAre("w:one", "w:two", "q:$name"));
  EXPECT_THAT(Lex("$net/24 x"), ElementsAre("w:192.0.2.0/24", "w:x"));
  EXPECT_THAT(Lex("$nam\nx"),
              ElementsAre("!:", "\\:", "w:x",
                          "f:1:1: error: macro 'nam' not defined (did you mean \"name\"?)"));
}

TEST(Parse, MacrosOfTheCommandLineWin) {
  ParseOptions options;
  options.macros = {{"where", "lo9"}};
  const ParseResult result =
      ParseText(StrCat("where = \"lo0\"\nlisten on $where\n", kTail), options);
  ASSERT_TRUE(result.config) << Listing(result);
  EXPECT_EQ(result.config->listeners[0].target, "lo9");
}

TEST(Parse, MacroValueIsReadAgain) {
  const ParseResult result = ParseText(StrCat("pki m cert /* c\n",
                                              "o = \"tls pki m hostname h.example\"\npki m cert "
                                              "\"/c\" key \"/k\"\nlisten on lo0 $o tag X\n",
                                              kTail));
  EXPECT_FALSE(result.config);  // an unquoted path
  const ParseResult good =
      ParseText(StrCat("o = \"tls pki m hostname h.example\"\npki m cert \"/c\" key \"/k\"\nlisten "
                       "on lo0 $o tag X\n",
                       kTail));
  ASSERT_TRUE(good.config) << Listing(good);
  EXPECT_EQ(good.config->listeners[0].tls, ListenerTls::kOptional);
  EXPECT_EQ(good.config->listeners[0].hostname, "h.example");
  EXPECT_EQ(good.config->listeners[0].tag, "X");
  EXPECT_THAT(good.config->listeners[0].pkis, ElementsAre(0));
}

TEST(Parse, IncludesNestAndNameTheirLines) {
  MemoryLoader loader("main", "include \"a\"\nmatch for any action \"out\"");
  loader.Add("a", "include \"b\"\n");
  loader.Add("b", "action \"out\" relay");
  ParseResult result = Parse("main", loader);
  ASSERT_TRUE(result.config) << Listing(result);
  EXPECT_EQ(result.config->actions[0].location.ToString(), "b:1:1");

  MemoryLoader last("main", "include \"a\"");
  last.Add("a", kTail);
  EXPECT_TRUE(Parse("main", last).config);

  MemoryLoader deep("main", "include \"0\"\n");
  for (int i = 0; i < 20; ++i) deep.Add(StrCat(i), StrCat("include \"", i + 1, "\"\n"));
  result = Parse("main", deep);
  EXPECT_THAT(Listing(result), HasSubstr("more than 16 files deep"));
}

TEST(Parse, AllErrorsOfAFile) {
  const ParseResult result = ParseText(
      "lisen on lo0\nlisten on lo0 potr 25\naction \"a\" maildri\nmatch fro any action \"a\"\n"
      "table t { a\nqueue ttl 4w\n");
  std::vector<std::string> told;
  for (const Diagnostic& d : result.diagnostics) told.push_back(d.ToString());
  EXPECT_THAT(
      told,
      ElementsAre(
          "smtpd.conf:1:1: error: syntax error: unknown directive \"lisen\" (did you mean "
          "\"listen\"?)",
          "smtpd.conf:2:15: error: syntax error: found \"potr\", expected an option of listen (did "
          "you mean \"port\"?)",
          HasSubstr(
              "smtpd.conf:3:12: error: syntax error: found \"maildri\", expected maildir, mbox"),
          HasSubstr("smtpd.conf:4:7: error: syntax error: found \"fro\""),
          HasSubstr("smtpd.conf:5:9: error: syntax error: the { has no }: line 6"),
          HasSubstr("smtpd.conf:6:11: error: invalid ttl delay: 4w")));
}

TEST(Parse, Defaults) {
  const ParseResult result = ParseText(StrCat("listen on lo0\n", kTail));
  ASSERT_TRUE(result.config) << Listing(result);
  const Config& c = *result.config;
  EXPECT_EQ(c.smtp.max_mails_per_session, 100);
  EXPECT_EQ(c.smtp.max_recipients, 1000);
  EXPECT_EQ(c.smtp.max_message_bytes, 35 * 1024 * 1024);
  EXPECT_EQ(c.queue.ttl, absl::Hours(96));
  EXPECT_EQ(c.queue.retry_delay, absl::Seconds(400));
  EXPECT_THAT(c.bounce_warn_intervals, ElementsAre(absl::Hours(4)));
  EXPECT_EQ(c.listeners[0].port, 25);
  EXPECT_EQ(c.rules[0].from_kind, FromKind::kLocal);
  EXPECT_EQ(c.rules[0].for_kind, ForKind::kAny);
}

// RFC 5321 §4.5.3: every limit and time, by its name. What is not written stays the session's own.
TEST(Parse, LimitsAndTimeouts) {
  const ParseResult result = ParseText(StrCat(
      "smtp limit max-command-line 4K max-auth-line 8192 max-text-line 2M\n"
      "smtp limit max-errors 3 max-refused-rcpt 4 max-auth-failures 2 max-idle-commands 9\n"
      "smtp limit max-auth-failures-address 7 max-auth-failures-account 8 max-auth-memory 900\n"
      "smtp limit max-auth-pam 5\n"
      "smtp timeout auth-window 2h auth-trust 7d auth-pam 9s\n"
      "smtp timeout command 1m data-init 2m\nsmtp timeout data-block 3m write 4m transaction 5m "
      "session 6h\n"
      "mta timeout connect 1s greeting 2s helo 3s starttls 4s auth 5s mail-from 6s rcpt-to 7s\n"
      "mta timeout data-init 8s data-block 9s data-end 10s rset 11s quit 12s\n"
      "mta limit max-reply-line 1K\n",
      kTail));
  ASSERT_TRUE(result.config) << Listing(result);
  const SmtpSettings& smtp = result.config->smtp;
  EXPECT_EQ(smtp.max_command_line_bytes, 4096);
  EXPECT_EQ(smtp.max_auth_line_bytes, 8192);
  EXPECT_EQ(smtp.max_text_line_bytes, 2 << 20);
  EXPECT_EQ(smtp.max_errors, 3);
  EXPECT_EQ(smtp.max_refused_recipients, 4);
  EXPECT_EQ(smtp.max_auth_failures, 2);
  EXPECT_EQ(smtp.max_idle_commands, 9);
  EXPECT_EQ(smtp.max_auth_failures_address, 7);
  EXPECT_EQ(smtp.max_auth_failures_account, 8);
  EXPECT_EQ(smtp.max_auth_memory, 900);
  EXPECT_EQ(smtp.max_auth_pam, 5);
  EXPECT_EQ(smtp.timeouts.auth_pam, absl::Seconds(9));
  EXPECT_EQ(smtp.timeouts.auth_window, absl::Hours(2));
  EXPECT_EQ(smtp.timeouts.auth_trust, absl::Hours(24 * 7));
  EXPECT_EQ(smtp.timeouts.command, absl::Minutes(1));
  EXPECT_EQ(smtp.timeouts.data_init, absl::Minutes(2));
  EXPECT_EQ(smtp.timeouts.data_block, absl::Minutes(3));
  EXPECT_EQ(smtp.timeouts.write, absl::Minutes(4));
  EXPECT_EQ(smtp.timeouts.transaction, absl::Minutes(5));
  EXPECT_EQ(smtp.timeouts.session, absl::Hours(6));
  const MtaTimeouts& mta = result.config->mta_timeouts;
  const std::optional<Duration> in_order[] = {
      mta.connect, mta.greeting,  mta.helo,       mta.starttls, mta.auth, mta.mail_from,
      mta.rcpt_to, mta.data_init, mta.data_block, mta.data_end, mta.rset, mta.quit};
  int64_t seconds = 0;
  for (const std::optional<Duration>& each : in_order) EXPECT_EQ(each, absl::Seconds(++seconds));
  EXPECT_EQ(result.config->mta_limits.max_reply_line_bytes, 1024);
  const ParseResult plain = ParseText(kTail);
  EXPECT_EQ(plain.config->smtp.timeouts.command, std::nullopt);
  EXPECT_EQ(plain.config->mta_timeouts.quit, std::nullopt);
}

TEST(Parse, Settings) {
  const ParseResult result = ParseText(StrCat(
      "queue ttl 2d\nqueue retry-delay 90s\nqueue reserve 1G\nqueue compression\nqueue encryption "
      "key \"0123456789abcdef0123456789abcdef\"\nsmtp "
      "limit max-mails 5 max-rcpt 7\n"
      "smtp max-message-size 10M\nsmtp max-message-size 2048\nsmtp sub-addr-delim \"-\"\nsmtp "
      "ciphers \"HIGH\"\n"
      "bounce warn-interval 1h, 6h, 2d\nmta max-deferred 9\nmta limit max-conn-per-host 3 inet4\n"
      "mta limit for domain \"Example.ORG\" conn-delay-host 4\nmda limit max-session 2\nscheduler "
      "limit max-inflight 11\n"
      "srs key \"s\"\nsrs key backup \"b\"\nsrs ttl 7d\nadmd \"example.org\"\nmda wrapper w "
      "\"filter %{mda}\"\n"
      "spool \"/var/spool/postern\"\nmailname \"mx.example.org\"\nresolver zone \"/z\"\n"
      "resolver timeout 3s\n",
      kTail));
  ASSERT_TRUE(result.config) << Listing(result);
  const Config& c = *result.config;
  EXPECT_EQ(c.queue.ttl, absl::Hours(48));
  EXPECT_EQ(c.queue.retry_delay, absl::Seconds(90));
  EXPECT_EQ(c.queue.reserve_bytes, 1u << 30);
  EXPECT_EQ(c.queue.encryption_key, "0123456789abcdef0123456789abcdef");
  EXPECT_EQ(c.smtp.max_mails_per_session, 5);
  EXPECT_EQ(c.smtp.max_recipients, 7);
  EXPECT_EQ(c.smtp.max_message_bytes, 2048);
  EXPECT_EQ(c.smtp.sub_address_delimiter, '-');
  EXPECT_EQ(c.bounce_warn_intervals.size(), 3u);
  EXPECT_EQ(c.mta_limits.max_conn_per_host, 3);
  EXPECT_EQ(c.mta_limits.family, AddressFamily::kInet4);
  EXPECT_EQ(c.mta_domain_limits[0].domain, "example.org");
  EXPECT_EQ(c.mta_domain_limits[0].limits.conn_delay_host, 4);
  EXPECT_EQ(c.scheduler_limits.max_inflight, 11);
  EXPECT_EQ(c.srs.backup_key, "b");
  EXPECT_EQ(c.srs.ttl_days, 7);
  EXPECT_EQ(c.spool, "/var/spool/postern");
  EXPECT_EQ(c.mailname, "mx.example.org");
  EXPECT_EQ(c.resolver_zone, "/z");
  EXPECT_EQ(c.resolver_timeout, absl::Seconds(3));
  EXPECT_TRUE(c.queue.compression);
}

TEST(Parse, Listeners) {
  const ParseResult result = ParseText(StrCat(
      "pki a cert \"/a\" key \"/ak\"\npki \"*\" cert \"/b\" key \"/bk\"\nca r cert \"/r\"\n"
      "table logins { bob = hash }\ntable names { \"192.0.2.1\" = mx.example.org }\ntable who { "
      "bob = \"bob@example.org\" }\n"
      "listen on socket tag LOCAL mask-src no-dsn\n"
      "listen on 192.0.2.1 inet4 port 2525 tls-require verify pki a ca r auth-optional <logins> "
      "hostnames <names> \\\n"
      "  senders <who> masquerade received-auth proxy-v2 protocols \"TLSv1.3\" ciphers \"X\"\n"
      "listen on all smtps auth\n"
      "listen on all port imaps proto imap smtps auth <logins>\nlisten on lo0 proto imap tls "
      "auth\n",
      kTail));
  ASSERT_TRUE(result.config) << Listing(result);
  const std::vector<Listener>& l = result.config->listeners;
  EXPECT_TRUE(l[0].is_socket && l[0].mask_src && l[0].no_dsn);
  EXPECT_EQ(l[1].port, 2525);
  EXPECT_EQ(l[1].tls, ListenerTls::kRequired);
  EXPECT_TRUE(l[1].verify_client && l[1].senders_masquerade && l[1].received_auth && l[1].proxy_v2);
  EXPECT_EQ(l[1].auth, ListenerAuth::kOptional);
  EXPECT_EQ(l[1].ca, 0);
  EXPECT_EQ(l[2].port, 465);
  EXPECT_EQ(l[2].auth_table, kNoIndex);
  EXPECT_EQ(l[3].port, 993);
  EXPECT_EQ(l[3].protocol, ListenerProtocol::kImap);
  EXPECT_EQ(l[4].port, 143);
}

TEST(Parse, LimitsWithoutEffectAreToldAndOthersAreNot) {
  const ParseResult result = ParseText(
      StrCat("mta limit max-conn-per-route 3 conn-delay-relay 1 task-hiwat 9\n"
             "mta limit for domain \"x.example\" max-conn-per-host 1 reconn-delay-route 2\n"
             "scheduler limit max-inflight 7 max-evp-batch-size 3 max-schedule 2\nmda limit "
             "task-hiwat 2\n",
             kTail));
  ASSERT_TRUE(result.config) << Listing(result);
  EXPECT_EQ(result.config->mta_limits.max_conn_per_route, 3);
  EXPECT_EQ(result.config->mta_domain_limits[0].limits.max_conn_per_host, 1);
  std::vector<std::string> told;
  for (const Diagnostic& d : IneffectiveSettings(*result.config))
    told.push_back(d.message.substr(0, d.message.find(" has no effect")));
  EXPECT_THAT(told, ElementsAre("mta limit task-hiwat", "mta limit reconn-delay-route",
                                "scheduler limit max-schedule", "mda limit task-hiwat"));
}

TEST(Parse, TlsVersions) {
  const struct {
    const char* text;
    TlsProtocols meaning;
  } cases[] = {
      {"TLSv1.2", {true, false, false}},        {"tlsv1.3", {false, true, false}},
      {"TLSv1.2,TLSv1.3", {true, true, false}}, {"TLSv1.2 : TLSv1.3", {true, true, false}},
      {"secure", {true, true, false}},          {"all", {true, true, false}},
      {"all,!TLSv1.2", {false, true, false}},   {"!TLSv1.3", {true, false, false}},
      {"TLSv1.1,TLSv1.2", {true, false, true}},
  };
  for (const auto& each : cases) {
    const StatusOr<TlsProtocols> read = ParseTlsProtocols(each.text);
    ASSERT_TRUE(read.ok()) << each.text;
    EXPECT_EQ(*read, each.meaning) << each.text;
  }
  for (const char* wrong : {"", "!all", "TLSv1.0", "TLS", "1.3"})
    EXPECT_FALSE(ParseTlsProtocols(wrong).ok()) << wrong;
}

TEST(Parse, Actions) {
  const ParseResult result = ParseText(
      "srs key \"s\"\ntable al { root = bob }\ntable ub { bob = \"1:1:/h\" }\ntable sec { label = "
      "\"u:p\" }\npki p cert \"/c\" "
      "key \"/k\"\n"
      "action a maildir \"/m/%{dest.user:lowercase}\" junk virtual <al> user vmail userbase <ub> "
      "ttl 2h\n"
      "action b mbox alias { root = \"bob, alice\" }\naction c lmtp \"/run/lmtp\" rcpt-to\naction "
      "d mda \"procmail %{sender}\"\n"
      "action e forward-only\naction f expand-only\n"
      "action g relay host smtp+tls://label@mx.example.org:2525 auth <sec> mail-from "
      "\"@example.org\" src 192.0.2.1 "
      "helo h tls no-verify pki p srs\n"
      "action h relay backup mx mx2.example.org\naction i relay domain { a.example => "
      "\"lmtp://[::1]:24\" }\n"
      "match for any action a\n");
  ASSERT_TRUE(result.config) << Listing(result);
  const std::vector<Action>& a = result.config->actions;
  EXPECT_EQ(a[0].user, "vmail");
  EXPECT_TRUE(a[0].junk);
  EXPECT_EQ(*a[0].ttl, absl::Hours(2));
  EXPECT_EQ(result.config->tables[static_cast<size_t>(a[1].alias)].form, TableForm::kMapping);
  EXPECT_TRUE(a[2].lmtp_rcpt_to);
  EXPECT_EQ(a[6].relay.mail_from, "@example.org");
  EXPECT_EQ(a[6].relay.tls, RelayTls::kRequiredUnverified);
  EXPECT_EQ(a[6].relay.pki, 0);
  EXPECT_TRUE(a[7].relay.backup);
  EXPECT_EQ(a[7].relay.backup_mx, "mx2.example.org");
}

TEST(Parse, Matches) {
  const ParseResult result = ParseText(
      "action a mbox\n"
      "match from any for domain { a.example, \"*.b.example\" } action a\n"
      "match !from src regex { '^192\\.' } for rcpt-to \"x@y\" auth <anyone> action a\n");
  EXPECT_THAT(Listing(result), HasSubstr("no such table: anyone"));
  const ParseResult good = ParseText(
      "action a mbox\nmatch from any for domain { a.example, \"*.b.example\" } action a\n"
      "match !from src regex { '^192\\.' } for rcpt-to \"x@y\" !auth helo \"h\" mail-from \"@z\" "
      "tag T !tls reject\n"
      "match from auth regex { bob } for any action a\nmatch !from mail-from \"a@b\" action "
      "a\nmatch from rdns action a\n");
  ASSERT_TRUE(good.config) << Listing(good);
  const std::vector<Rule>& r = good.config->rules;
  EXPECT_TRUE(r[1].IsReject());
  EXPECT_TRUE(r[1].from.negated && r[1].from.regex && r[1].auth.negated && r[1].tls.negated);
  EXPECT_EQ(r[1].for_kind, ForKind::kAny);
  EXPECT_TRUE(r[1].rcpt_to.present && r[1].tag.present && r[1].helo.present &&
              r[1].mail_from.present);
  EXPECT_EQ(r[2].from_kind, FromKind::kAny);
  EXPECT_TRUE(r[2].auth.regex);
  EXPECT_TRUE(r[3].mail_from.negated && !r[3].from.negated);
  EXPECT_EQ(r[3].for_kind, ForKind::kLocal);
}

struct Mistake {
  const char* text;
  const char* says;
};

TEST(Parse, Mistakes) {
  const Mistake mistakes[] = {
      {"table t {}\n", "at least one entry"},
      {"table t { 5 }\n", "found the number 5"},
      {"x = 5\n", "put it in quotes"},
      {"x = a b\n", "a value of several words goes in quotes"},
      {"listen on lo0 auth auth\n", "auth already specified"},
      {"listen on lo0 tls pki x pki X\n", "already specified"},
      {"listen on lo0 pki x\npki x cert \"/c\" key \"/k\"\n", "pki requires tls"},
      {"listen on socket\nlisten on socket\n", "already specified at line 1"},
      {"listen on socket tls\n", "no meaning for listen on socket"},
      {"listen on all proto imap\n", "needs auth"},
      {"listen on 2001:db8::x\n", "invalid address or interface"},
      {"pki x cert \"/c\"\n", "pki x has no key"},
      {"action a relay host \"ftp://x\"\n", "unknown scheme \"ftp\""},
      {"action a relay host smtp://l@x\n", "a label is for smtp+tls:// and smtps:// only"},
      {"action a relay host smtps://l@x\n", "needs auth"},
      {"action a relay host smtp://x:99999\n", "is no port"},
      {"action a relay pki nowhere\n", "pki name not found: nowhere"},
      {"action a maildir \"%{nothing}\"\n", "no such variable"},
      {"action a mda \"%{mda}\"\n", "wrappers only"},
      {"action a maildir \"\"\n", "an empty maildir path"},
      {"action a mbox\nmatch from src \"300.1.1.1\" action a\n",
       "neither an address nor a network"},
      {"action a mbox\nmatch from src { \"192.0.2.0/33\" } action a\n",
       "neither an address nor a network"},
      {"action a mbox\nmatch from rdns regex \"a(b\" action a\n", "is no regular expression"},
      {"action a mbox\nmatch for any for any action a\n", "for already specified for this rule"},
      {"action a mbox\nmatch from auth auth for any action a\n",
       "auth already specified for this rule"},
      {"filter f phase connect match helo \"x\" junk\n",
       "not available at phase connect, only from helo on"},
      {"filter f phase data match rcpt-to \"x\" junk\n", "only at rcpt-to"},
      {"smtp max-message-size 0\n", "invalid size"},
      {"mta limit max-conn-per-hots 3\n", "did you mean \"max-conn-per-host\""},
      {"mta limit max-conn-per-host 0\n", "invalid max-conn-per-host: 0"},
      {"bounce warn-interval 1h, 2h, 3h, 4h, 5h\n", "4 delays at most"},
      {"srs ttl 1h\n", "1d to 1023d"},
      {"spool \"x\"\n", "absolute"},
      {"table t file:/x y\n", "the end of the line"},
      {"listen on \x01\n", "expected an interface"},
  };
  for (const Mistake& m : mistakes) {
    const ParseResult result =
        ParseText(StrCat(m.text, "action \"zz\" relay\nmatch for any action \"zz\"\n"));
    EXPECT_FALSE(result.config) << m.text;
    EXPECT_THAT(Listing(result), HasSubstr(m.says)) << m.text;
  }
}

TEST(Parse, Warnings) {
  const ParseResult result =
      ParseText("table <t> file:/t\naction \"o\" relay\nmatch for domain <t> action \"o\"\n");
  ASSERT_TRUE(result.config);
  ASSERT_EQ(result.diagnostics.size(), 1u) << Listing(result);
  EXPECT_THAT(result.diagnostics[0].ToString(), HasSubstr("smtpd.conf:1:7: warning: "));
}

TEST(RelayUrl, Table) {
  const std::pair<const char*, const char*> good[] = {
      {"mx.example.org", "smtp://mx.example.org:25"},
      {"smtps://l@MX.example.org", "smtps://l@mx.example.org:465"},
      {"smtp+tls://me@x@192.0.2.1:2525", "smtp+tls://me@x@192.0.2.1:2525"},
      {"smtp+notls://[IPv6:2001:db8::1]", "smtp+notls://[2001:db8::1]:25"},
      {"lmtp://localhost:24", "lmtp://localhost:24"},
  };
  for (const auto& [text, canonical] : good) {
    const StatusOr<RelayUrl> url = ParseRelayUrl(text);
    ASSERT_TRUE(url.ok()) << text << Text(url.status());
    EXPECT_EQ(url->ToString(), canonical);
  }
  for (const char* text : {"", "lmtp://x", "smtp://", "smtp://x:0", "smtp://[1.2.3", "smtp://[x]",
                           "smtp://a b", "smtps://@x"}) {
    EXPECT_FALSE(ParseRelayUrl(text).ok()) << text;
  }
}

// The name of the host may be a question to DNS that takes its time.
TEST(Parse, TheHostsNameIsAskedOnlyWhereItDecides) {
  constexpr char kPki[] = "pki mx.example.org cert \"/c\" key \"/k\"\n";
  const struct {
    std::string text;
    int asked;
  } rows[] = {
      {"listen on lo0\n", 0},
      {StrCat(kPki, "mailname mx.example.org\nlisten on lo0 tls\n"), 0},
      {StrCat(kPki, "listen on lo0 tls hostname mx.example.org\n"), 0},
      {StrCat(kPki, "listen on lo0 tls\n"), 1},
  };
  for (const auto& row : rows) {
    int asked = 0;
    ParseOptions options;
    options.server_name = [&asked] {
      ++asked;
      return std::string("mx.example.org");
    };
    MemoryLoader loader("smtpd.conf", row.text + "action a relay\nmatch for any action a\n");
    const ParseResult result = Parse("smtpd.conf", loader, options);
    EXPECT_NE(result.config, nullptr) << row.text;
    EXPECT_EQ(asked, row.asked) << row.text;
  }
}

}  // namespace
}  // namespace postern::policy
