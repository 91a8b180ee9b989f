// Built-in filters as a client meets them: a whole server in the simulated world.
#include "lib/server/filters.h"

#include "tests/unit/core/tls/make_certificate.h"
#include "tests/unit/reply_codes.h"
#include "tests/unit/server/session_test.h"

#include <gmock/gmock.h>

#include "lib/core/mail/base64.h"

namespace postern::server {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHead[] = R"(
mailname "mx.example.org"
spool "/spool"
resolver zone "/zone"
pki mx.example.org cert "/cert" key "/key"
table logins { alice = "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA" }
table accounts { alice = "0:0:/home/alice" }
table addresses { "@" = alice }
)";
constexpr char kTail[] = R"(
action "here" maildir "/mail/%{user.username}" virtual <addresses> userbase <accounts>
match from any for domain "example.org" action "here"
)";
// good has a name that leads back, liar one that does not, 192.0.2.7 none.
constexpr char kZone[] = R"(
8.2.0.192.in-addr.arpa. PTR good.example.
9.2.0.192.in-addr.arpa. PTR liar.example.
good.example. A 192.0.2.8
liar.example. A 192.0.2.80
)";

class FiltersTest : public SessionTest {
 protected:
  FiltersTest() {
    const tls_test::Made made = tls_test::MakeCertificate({"mx.example.org", {"mx.example.org"}});
    Put("/cert", made.certificate_pem);
    Put("/key", made.key_pem);
    Put("/zone", kZone);
  }
  // Start runs a server with these filters, of which the listener names `named`.
  void Start(const std::string& filters, const std::string& named,
             const std::string& listener = "") {
    Run(StrCat(std::string_view(kHead), filters, "\nlisten on 192.0.2.1 port 25 ", listener,
               " filter ", named, std::string_view(kTail)),
        step_);
  }
  // Says gives the codes of all replies, a blank between them.
  std::string Says(const std::string& script, IpAddress source = IpAddress::V4(192, 0, 2, 8)) {
    heard_ = Heard(client_, {.source = source, .tls = tls_, .script = script}, absl::Minutes(1));
    return CodesOf(heard_);
  }
  static std::string Mail(const std::string& sender = "a@b.example",
                          const std::string& recipient = "x@example.org") {
    return StrCat("MAIL FROM:<", sender, ">\r\nRCPT TO:<", recipient,
                  ">\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\n");
  }

  std::string heard_;
  service::FilterFunctions step_;
  std::shared_ptr<const tls::ClientConfig> tls_;  // what clients speak; null: in the clear
};

const IpAddress kNameless = IpAddress::V4(192, 0, 2, 7);
const IpAddress kGood = IpAddress::V4(192, 0, 2, 8);
const IpAddress kLiar = IpAddress::V4(192, 0, 2, 9);

TEST_F(FiltersTest, NamesAtConnect) {
  Start(
      "filter named phase connect match !rdns disconnect \"550 no rDNS is so 80s\"\n"
      "filter confirmed phase connect match !fcrdns reject \"550 no FCrDNS is so 80s\"\n"
      "filter both chain { named, confirmed }",
      "both");
  const std::string script = StrCat("EHLO c\r\n", Mail(), "QUIT\r\n");
  EXPECT_EQ(Says(script, kGood), "220 250 250 250 354 250 221");
  EXPECT_NE(Delivered(), "");
  EXPECT_EQ(Says(script, kNameless), "550");
  EXPECT_THAT(heard_, HasSubstr("no rDNS is so 80s"));
  // Who is rejected hears it in place of the greeting and may then only leave.
  EXPECT_EQ(Says("EHLO c\r\nQUIT\r\n", kLiar), "550 503 221");
  EXPECT_EQ(Delivered(), "");
}

// Each condition in each phase from which on it is known.
TEST_F(FiltersTest, EachConditionInEachPhase) {
  const struct {
    const char* condition;
    int first;  // of the phases below
    const char* holds;
    const char* fails;
  } conditions[] = {
      {"rdns", 0, "", "!"},
      {"rdns", 0, "{ \"*.example\" }", "{ other.example }"},
      {"rdns regex", 0, "{ \"^good\" }", "{ \"^bad\" }"},
      {"src", 0, "{ \"192.0.2.0/24\" }", "{ \"198.51.100.0/24\" }"},
      {"src regex", 0, "{ \"^192\" }", "{ \"^10\" }"},
      {"helo", 1, "{ client.example }", "{ other.example }"},
      {"helo regex", 1, "{ \"^cli\" }", "{ \"^o\" }"},
      {"mail-from", 2, "{ \"@b.example\" }", "{ \"@c.example\" }"},
      {"mail-from regex", 2, "{ \"^a@\" }", "{ \"^b@\" }"},
  };
  const struct {
    const char* phase;
    const char* refused;  // what the session then hears
  } phases[] = {
      {"connect", "550 503 503 503 503 221"},   {"ehlo", "220 550 503 503 503 221"},
      {"mail-from", "220 250 550 503 503 221"}, {"rcpt-to", "220 250 250 550 503 221"},
      {"data", "220 250 250 250 550 221"},      {"commit", "220 250 250 250 354 550 221"},
  };
  for (const auto& condition : conditions) {
    for (int i = condition.first; i < static_cast<int>(std::size(phases)); ++i) {
      for (const bool holds : {true, false}) {
        const std::string word(condition.condition);
        const std::string operand(holds ? condition.holds : condition.fails);
        const std::string test =
            operand == "!" ? StrCat("!", word) : StrCat(word, operand.empty() ? "" : " ", operand);
        SCOPED_TRACE(StrCat(phases[i].phase, " ", test));
        TearDown();
        Start(StrCat("filter f phase ", phases[i].phase, " match ", test, " reject \"550 no\""),
              "f");
        const bool through = !holds || i == 5;
        std::string script =
            "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n"
            "RCPT TO:<x@example.org>\r\nDATA\r\n";
        if (through) script += "Subject: x\r\n\r\nbody\r\n.\r\n";
        ASSERT_EQ(Says(script + "QUIT\r\n"),
                  holds ? phases[i].refused : "220 250 250 250 354 250 221");
        ASSERT_EQ(Delivered().empty(), holds);
      }
    }
  }
}

TEST_F(FiltersTest, RecipientsAndLogins) {
  constexpr char kLogin[] = "smtps pki mx.example.org auth-optional <logins>";
  tls_ = *tls::ClientConfig::Make({});
  Start(
      "filter nobody phase rcpt-to match rcpt-to { \"nobody@example.org\" } reject \"550 5.1.1 "
      "no\"\n"
      "filter stranger phase mail-from match !auth reject \"530 5.7.0 log in first\"",
      "{ nobody, stranger }", kLogin);
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b.example>\r\nQUIT\r\n"), "220 250 530 221");
  const std::string login =
      StrCat("AUTH PLAIN ", mail::Base64Encode(std::string("\0alice\0secret", 13)), "\r\n");
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", login,
                        "MAIL FROM:<alice@b.example>\r\nRCPT TO:<nobody@example.org>\r\n"
                        "RCPT TO:<x@example.org>\r\nQUIT\r\n")),
            "220 250 235 250 550 250 221");
  TearDown();
  Start(
      "filter before phase auth match src { \"192.0.2.9\" } reject \"550 5.7.1 not from there\"\n"
      "filter alice phase rcpt-to match auth { alice } reject \"550 5.7.1 not you\"",
      "{ before, alice }", kLogin);
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", login, "QUIT\r\n"), kLiar), "220 250 550 221");
  EXPECT_EQ(Says(StrCat("EHLO c\r\n", login,
                        "MAIL FROM:<alice@b.example>\r\nRCPT TO:<x@example.org>\r\nQUIT\r\n")),
            "220 250 235 250 550 221");
}

// RFC 2034 §4: a reply has one enhanced status, of its code's class.
TEST_F(FiltersTest, OneEnhancedStatus) {
  Start(
      "filter one phase mail-from match mail-from { \"a@b.example\" } reject \"451 4.7.1 5.7.1 "
      "text\"\nfilter two phase mail-from match mail-from { \"b@b.example\" } reject \"451 5.7.2 "
      "text\"",
      "{ one, two }");
  Says("EHLO c\r\nMAIL FROM:<a@b.example>\r\nMAIL FROM:<b@b.example>\r\nQUIT\r\n");
  EXPECT_THAT(heard_, HasSubstr("\r\n451 4.7.1 text\r\n451 4.7.2 text\r\n221 "));
}

// In its own phase `auth` is about the login that is tried.
TEST_F(FiltersTest, TheLoginThatIsTried) {
  constexpr char kLogin[] = "smtps pki mx.example.org auth-optional <logins>";
  tls_ = *tls::ClientConfig::Make({});
  const std::string login =
      StrCat("AUTH PLAIN ", mail::Base64Encode(std::string("\0alice\0secret", 13)), "\r\n");
  const struct {
    const char* condition;
    const char* heard;
  } rows[] = {
      {"auth { alice }", "220 250 535 221"},
      {"auth { bob }", "220 250 235 221"},
      {"auth regex { \"^ali\" }", "220 250 535 221"},
      {"auth", "220 250 535 221"},
      {"!auth { alice }", "220 250 235 221"},
      {"!auth { bob }", "220 250 535 221"},
      {"!auth", "220 250 235 221"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(row.condition);
    TearDown();
    Start(StrCat("filter f phase auth match ", row.condition, " reject \"535 5.7.8 not you\""), "f",
          kLogin);
    EXPECT_EQ(Says(StrCat("EHLO c\r\n", login, "QUIT\r\n")), row.heard);
  }
}

// A filter that notes an envelope finds it again in the log and in the queue.
TEST_F(FiltersTest, TheEnvelopesThatFiltersAreToldOf) {
  std::string told;
  step_.events = service::kAllEvents;
  step_.on_event = [&told](const service::FilterReport& report) {
    if (report.event == service::SessionEvent::kTxEnvelope)
      StrAppend(told, "evpid=", report.message_id, Hex(report.number, 8), " ");
  };
  Start("filter f phase connect match !rdns disconnect \"550 no\"", "f");
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\n"
                 "RCPT TO:<y@example.org>\r\nDATA\r\nSubject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n"),
            "220 250 250 250 250 354 250 221");
  const std::vector<std::string_view> ids = Split(Trim(told), ' ');
  ASSERT_EQ(ids.size(), 2u) << told;
  EXPECT_NE(ids[0], ids[1]);
  for (const std::string_view id : ids) EXPECT_THAT(log_.text, HasSubstr(std::string(id)));
}

// What tools that read OpenSMTPD's log look for.
TEST_F(FiltersTest, RefusalsInTheLog) {
  tls_ = *tls::ClientConfig::Make({});
  Start("filter f phase connect match !rdns disconnect \"550 no\"", "f",
        "smtps pki mx.example.org auth-optional <logins>");
  const std::string wrong =
      StrCat("AUTH PLAIN ", mail::Base64Encode(std::string("\0alice\0wrongs", 13)), "\r\n");
  Says(StrCat("EHLO c\r\n", wrong, "AUTH LOGIN\r\n", mail::Base64Encode("alice"), "\r\n",
              mail::Base64Encode("wrong"), "\r\nAUTH PLAIN not!base64\r\nAUTH LOGIN\r\n*\r\n",
              "EHLO -\x1b\r\nSHUTDOWN now\r\n", "MAIL FROM:<a@b@c>\r\nDATA\r\nQUIT\r\n"));
  for (const char* line : {
           R"-(command="AUTH PLAIN (...)" result="535 5.7.8 Authentication failed")-",
           R"-(command="AUTH LOGIN (password)" result="535 5.7.8 Authentication failed")-",
           R"-(command="AUTH PLAIN (...)" result="501 5.5.2 Malformed)-",
           R"-(command="AUTH LOGIN (...)" result="501 5.7.0 Authentication cancelled")-",
           R"-(command="EHLO -\x1b" result="500 5.5.2 Invalid command: Syntax error")-",
           R"-(command="SHUTDOWN now" result="500 5.5.1 Invalid command)-",
           R"-(command="MAIL FROM:<a@b@c>" result="553 5.1.0 Sender address syntax error")-",
           R"-(command="DATA" result="503 5.5.1 Invalid command)-",
       }) {
    EXPECT_THAT(log_.text, HasSubstr(StrCat("failed-command ", line)));
  }
  for (const char* secret : {"wrong", "d3Jvbmc", "YWxpY2U", "not!base64"})
    EXPECT_THAT(log_.text, Not(HasSubstr(secret)));
  const size_t connected =
      log_.text.find("connected address=192.0.2.8 host=good.example listener=");
  ASSERT_NE(connected, std::string::npos) << log_.text;
  EXPECT_LT(connected, log_.text.find("tls ciphers="));
}

TEST_F(FiltersTest, JunkOfASessionAndOfAMessage) {
  Start("filter f phase connect match !fcrdns junk", "f");
  const std::string two = StrCat("EHLO c\r\n", Mail(), "QUIT\r\n");
  Says(two, kLiar);
  EXPECT_THAT(Delivered(), HasSubstr("\nX-Spam: Yes\nReceived: "));
  Says(two, kGood);
  EXPECT_THAT(Delivered(), Not(HasSubstr("X-Spam")));
  TearDown();
  Start("filter f phase mail-from match mail-from { \"spam@b.example\" } junk", "f");
  Says(StrCat("EHLO c\r\n", Mail("spam@b.example"), "QUIT\r\n"));
  EXPECT_THAT(Delivered(), HasSubstr("X-Spam: Yes"));
  // The message alone, not what follows it.
  Says(StrCat("EHLO c\r\nMAIL FROM:<spam@b.example>\r\nRSET\r\n", Mail(), "QUIT\r\n"));
  EXPECT_THAT(Delivered(), Not(HasSubstr("X-Spam")));
}

TEST_F(FiltersTest, RewriteReportAndBypass) {
  Start(
      "filter told phase mail-from match mail-from { \"@b.example\" } report \"from b\"\n"
      "filter sender phase mail-from match mail-from { \"a@b.example\" } rewrite "
      "\"new@c.example\"\n"
      "filter again phase mail-from match mail-from { \"@b.example\" } reject \"550 never\"\n"
      "filter past phase rcpt-to match rcpt-to { \"x@example.org\" } bypass\n"
      "filter all phase rcpt-to match src { \"192.0.2.0/24\" } reject \"550 not here\"\n"
      "filter name phase ehlo match helo { odd } rewrite \"even.example\"",
      "{ told, sender, again, past, all, name }");
  EXPECT_EQ(Says(StrCat("EHLO odd\r\n", Mail(), "QUIT\r\n")), "220 250 250 250 354 250 221");
  const std::string text = Delivered();
  EXPECT_THAT(text, HasSubstr("Return-Path: <new@c.example>"));
  EXPECT_THAT(text, HasSubstr("Received: from even.example "));
  EXPECT_THAT(log_.text,
              HasSubstr("filtered filter=told phase=mail-from result=report text=\"from b\""));
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<y@example.org>\r\nQUIT\r\n"),
            "220 250 250 550 221");
  TearDown();
  Start("filter f phase rcpt-to match rcpt-to { \"x@example.org\" } rewrite \"no address@@\"", "f");
  EXPECT_EQ(Says("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@example.org>\r\n"
                 "RCPT TO:<y@example.org>\r\nQUIT\r\n"),
            "220 250 250 501 250 221");
}

TEST_F(FiltersTest, TextsThatAreNoStatus) {
  Start("filter f phase ehlo match src { \"192.0.2.0/24\" } reject \"go away\"", "f");
  EXPECT_EQ(Says("EHLO c\r\nQUIT\r\n"), "220 421");
  EXPECT_THAT(heard_, HasSubstr("421 Internal server error"));
}

}  // namespace
}  // namespace postern::server
