#include "lib/core/trust/authentication_results.h"

#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::trust {
namespace {

TEST(AuthenticationResultsTest, WritesAndReads) {
  AuthenticationResults results;
  results.authserv_id = "mx.example.org";
  results.results.push_back({"spf", 1, "pass", "", "", {{"smtp", "mailfrom", "joe@example.com"}}});
  results.results.push_back({"dkim",
                             1,
                             "fail",
                             "signature bad; sorry",
                             "a (nested) remark",
                             {{"header", "d", "example.com"},
                              {"header", "b", "ab/cd+ef"},
                              {"header", "i", "\"odd one\"@example.com"}}});
  results.results.push_back({"x-new", 2, "pass", "", "", {}});
  const std::string text = FormatAuthenticationResults(results);
  EXPECT_EQ(text,
            "mx.example.org;\r\n\tspf=pass smtp.mailfrom=joe@example.com;\r\n\t"
            "dkim=fail (a \\(nested\\) remark) reason=\"signature bad; sorry\"\r\n\t "
            "header.d=example.com header.b=\"ab/cd+ef\"\r\n\t "
            "header.i=\"\\\"odd one\\\"@example.com\";\r\n\tx-new/2=pass");
  const StatusOr<AuthenticationResults> back = ParseAuthenticationResults(text);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(*back, results);
  EXPECT_EQ(back->results[1].Property("Header", "D"), "example.com");

  EXPECT_EQ(FormatAuthenticationResults({"mx.example.org", 1, {}}), "mx.example.org; none");
  EXPECT_TRUE(ParseAuthenticationResults("mx.example.org; none")->results.empty());
}

TEST(AuthenticationResultsTest, NothingBreaksOutOfItsPlace) {
  AuthenticationResults results;
  results.authserv_id = "mx example\r\nX: y";
  results.results.push_back({"spf",
                             1,
                             "fail",
                             "a\r\nBcc: x\"\\",
                             "(((\r\n)",
                             {{"smtp", "mailfrom", "\xff;dkim=pass\0"}}});
  results.results.push_back({"sp f", 1, "pass", "", "", {}});
  results.results.push_back({"dkim", 1, "pass", "", "", {{"he ader", "d", "x"}}});
  const std::string text = FormatAuthenticationResults(results);
  const StatusOr<AuthenticationResults> back = ParseAuthenticationResults(text);
  ASSERT_TRUE(back.ok());
  ASSERT_EQ(back->results.size(), 2u);
  EXPECT_EQ(back->results[0].reason, "a  Bcc: x\"\\");
  EXPECT_EQ(back->results[0].properties.at(0).value, "?;dkim=pass");
  EXPECT_EQ(back->results[1].method, "dkim");
  EXPECT_TRUE(back->results[1].properties.empty());
  for (size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1)) {
    EXPECT_EQ(text[at - 1], '\r');
    EXPECT_EQ(text[at + 1], '\t');
  }
  AuthenticationResults utf8{
      "mx", 1, {{"spf", 1, "pass", "", "", {{"smtp", "mailfrom", "jürgen@example.com"}}}}};
  EXPECT_EQ(FormatAuthenticationResults(utf8), "mx;\r\n\tspf=pass smtp.mailfrom=@example.com");
  EXPECT_EQ(FormatAuthenticationResults(utf8, true),
            "mx;\r\n\tspf=pass smtp.mailfrom=jürgen@example.com");
}

// RFC 8601 §2.5, RFC 8616: names stay readable whether the message may have UTF-8 or not.
TEST(AuthenticationResultsTest, NamesThatAreNotAscii) {
  const auto value = [](const char* ptype, const char* property, const char* text) {
    return AuthenticationResults{
        "bücher.example", 1, {{"spf", 1, "pass", "", "", {{ptype, property, text}}}}};
  };
  const struct {
    const char* text;
    const char* ascii;  // nullptr: the property is left out
  } cases[] = {
      {"mé@bücher.test", "@xn--bcher-kva.test"},
      {"me@bücher.test", "me@xn--bcher-kva.test"},
      {"mé@example.com", "@example.com"},
      {"bücher.test", "xn--bcher-kva.test"},
      {"jürgen", nullptr},
      {"\xFF@example.com", "?@example.com"},
  };
  for (const auto& one : cases) {
    const std::string expected =
        one.ascii == nullptr ? "xn--bcher-kva.example;\r\n\tspf=pass"
                             : StrCat("xn--bcher-kva.example;\r\n\tspf=pass smtp.x=", one.ascii);
    EXPECT_EQ(FormatAuthenticationResults(value("smtp", "x", one.text)), expected) << one.text;
  }
  EXPECT_EQ(FormatAuthenticationResults(value("smtp", "mailfrom", "mé@bücher.test"), true),
            "bücher.example;\r\n\tspf=pass smtp.mailfrom=mé@bücher.test");
}

TEST(AuthenticationResultsTest, WhichMessagesMayHaveUtf8) {
  EXPECT_FALSE(IsInternationalized("Subject: x\r\n\r\nGrüße", "a@b.example"));
  EXPECT_TRUE(IsInternationalized("Subject: Grüße\r\n\r\nx", "a@b.example"));
  EXPECT_TRUE(IsInternationalized("Subject: Grüße\n\nx\xFF", ""));
  EXPECT_FALSE(IsInternationalized("Subject: Gr\xFC\xDF\n\nx", ""));
  EXPECT_TRUE(IsInternationalized("Subject: x\r\n\r\n", "mé@b.example"));
}

TEST(AuthenticationResultsTest, ReadsWhatTheWildHas) {
  const struct {
    const char* text;
    const char* expected;  // id | results as FormatAuthMethodResult; null: refused
  } kCases[] = {
      // RFC 8601 appendix B.
      {"example.org 1; none", "example.org"},
      {" example.com;\r\n spf=pass smtp.mailfrom=example.net",
       "example.com|spf=pass smtp.mailfrom=example.net"},
      {"example.com; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=pass "
       "smtp.mailfrom=example.net",
       "example.com|auth=pass (cram-md5) smtp.auth=sender@example.net|spf=pass "
       "smtp.mailfrom=example.net"},
      {"example.com; dkim=pass reason=\"good signature\" header.i=@mail-router.example.net; "
       "dkim=fail reason=\"bad signature\" header.i=@newyork.example.com",
       "example.com|dkim=pass reason=\"good signature\" "
       "header.i=@mail-router.example.net|dkim=fail reason=\"bad signature\" "
       "header.i=@newyork.example.com"},
      {"foo.example.net (foobar) 1 (baz); dkim (Because I like it) / 1 (One yay) = (wait for it) "
       "fail policy (A dot can go here) . (like that) expired (this surprised me) = (as I wasn't "
       "expecting it) 1362471462",
       "foo.example.net|dkim=fail policy.expired=1362471462"},
      // Not by the grammar, and frequent.
      {"mx; iprev=pass policy.iprev=2001:db8::1", "mx|iprev=pass policy.iprev=\"2001:db8::1\""},
      {"mx; dkim=pass header.b=Ab/9+; junk; spf=none", "mx|dkim=pass header.b=\"Ab/9+\"|spf=none"},
      {"mx; DKIM=PASS (2048-bit key; unprotected) header.d=X.example",
       "mx|dkim=pass (2048-bit key; unprotected) header.d=X.example"},
      {"mx; =pass; spf=; ; spf=pass garbage = x smtp.mailfrom=a@b",
       "mx|spf=pass smtp.mailfrom=a@b"},
      {"\"mx\\\"x\"; none", "mx\"x"},
      {"mx; spf=pass (unclosed; dkim=pass", "mx|spf=pass (unclosed; dkim=pass)"},
      {"mx; spf=pass reason=\"unclosed; dkim=pass", "mx|spf=pass reason=\"unclosed; dkim=pass\""},
      {"dmarc=fail (p=none) header.from=a", nullptr},
      {"spf=pass (sender IP is 1.2.3.4) smtp.mailfrom=a; example.org; dkim=none", nullptr},
      {"", nullptr},
      {"(only a comment", nullptr},
  };
  for (const auto& c : kCases) {
    const StatusOr<AuthenticationResults> results = ParseAuthenticationResults(c.text);
    ASSERT_EQ(results.ok(), c.expected != nullptr) << c.text;
    if (!results.ok()) continue;
    std::string text = results->authserv_id;
    for (const AuthMethodResult& result : results->results)
      StrAppend(text, "|", FormatAuthMethodResult(result));
    EXPECT_EQ(text, c.expected) << c.text;
  }
}

TEST(AuthenticationResultsTest, RemovesWhatOnlyWeMayWrite) {
  ForgedOptions ours;
  ours.authserv_ids = {"MX.example.org", "bücher.example"};
  const struct {
    const char* value;
    bool forged;
  } kCases[] = {
      {" mx.example.org; spf=pass", true},
      {" (hidden) \"mx.example.org\" ; spf=pass", true},
      {"\r\n\tMX.EXAMPLE.ORG.; none", true},
      {" mx.example.org 1; none", true},
      {" mx.example.org=; none", true},
      {" xn--bcher-kva.example; none", true},
      {" mx.example.net; spf=pass", false},
      {" mx.example.org.example.net; spf=pass", false},
      {" mx.example.net 1; spf=pass", false},
      {" mx.example.net 2; spf=pass", true},
      {" mx.example.net 99999999999; spf=pass", true},
      {" ; spf=pass", true},
      {" spf=pass; mx.example.org", true},
      {"", true},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(IsForgedAuthenticationResults(c.value, ours), c.forged) << c.value;
  ours.remove_unreadable = ours.remove_unknown_versions = false;
  // What a reader may take for our name, because it stops where no token goes on.
  ForgedOptions named;
  named.authserv_ids = {"mx.example"};
  for (const std::string_view value :
       {" mx.example/1; dkim=pass", " mx.example@x; dkim=pass", " \"mx.example/1\"; dkim=pass",
        " (c) MX.Example[1]; dkim=pass", " mx.example:25; dkim=pass", " mx.example,x; dkim=pass"})
    EXPECT_TRUE(IsForgedAuthenticationResults(value, named)) << value;
  for (const std::string_view value : {" mx.example.org; dkim=pass", " amx.example; dkim=pass"})
    EXPECT_FALSE(IsForgedAuthenticationResults(value, named)) << value;
  for (const std::string_view id : {"mx.example", "localhost",
                                    "mx.b\xc3\xbc"
                                    "cher.example",
                                    "a_b+1"})
    EXPECT_TRUE(CheckAuthservId(id).ok()) << id;
  for (const std::string_view id : {"", ";", "a b", "a;b", "mx.example/1", "a\r\nb", "\xff"})
    EXPECT_FALSE(CheckAuthservId(id).ok()) << id;
  EXPECT_FALSE(IsForgedAuthenticationResults(" mx.example.net 2; spf=pass", ours));
  EXPECT_FALSE(IsForgedAuthenticationResults(" spf=pass; x", ours));
  ours.remove_all = true;
  EXPECT_TRUE(IsForgedAuthenticationResults(" mx.example.net; spf=pass", ours));
}

TEST(AuthenticationResultsTest, RemovesFieldsOfAHeaderAlone) {
  ForgedOptions ours;
  ours.authserv_ids = {"mx"};
  const std::string message =
      "Subject: a\r\nAuthentication-Results: mx;\r\n\tspf=pass\r\nauthentication-results : other; "
      "spf=pass\r\n"
      "AUTHENTICATION-RESULTS \t: mx; none\r\nAuthentication-Results:\r\n mx; "
      "none\r\nAuthentication-Results-X: mx; none\r\n"
      "\r\nAuthentication-Results: mx; none\r\n";
  size_t body = 0;
  EXPECT_EQ(RemoveForgedAuthenticationResults(message, ours, &body),
            "Subject: a\r\nauthentication-results : other; spf=pass\r\nAuthentication-Results-X: "
            "mx; none\r\n\r\n");
  EXPECT_EQ(message.substr(body), "Authentication-Results: mx; none\r\n");
  EXPECT_EQ(FindForgedAuthenticationResults(message, ours).size(), 3u);
  EXPECT_EQ(
      RemoveForgedAuthenticationResults("Authentication-Results: mx; none\nA: b\n\nx", ours, &body),
      "A: b\n\n");
  EXPECT_EQ(RemoveForgedAuthenticationResults("Authentication-Results: mx; none", ours, &body), "");
  EXPECT_EQ(RemoveForgedAuthenticationResults("", ours, &body), "");
}

}  // namespace
}  // namespace postern::trust
