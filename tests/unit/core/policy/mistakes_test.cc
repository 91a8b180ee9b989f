// What a person gets wrong in an smtpd.conf: each mistake is told once, at its own word, with what
// was found and what would be right.
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;

// A Mistake is a file, and what is said about it: "line:column|words that the message has|...".
// Several are told in this order.
struct Mistake {
  const char* text;
  std::vector<const char*> told;
};

// Good lines for the mistakes to stand among.
constexpr char kTail[] = "action \"zz\" relay\nmatch for any action \"zz\"\n";

Diagnostics AllErrors(const std::string& text) {
  MemoryLoader loader("smtpd.conf", text);
  loader.Add("/self", "include \"/self\"\n");
  loader.Add("/alias-of-self", "include \"/self-again\"\n");
  loader.Add("/self-again", "include \"/alias-of-self\"\n");
  loader.Add("/bad", "lisen on lo0\n");
  loader.Add("/out", "action out relay\n");
  ParseOptions options;
  options.server_name = [] { return std::string("mx.example.org"); };
  const ParseResult result = Parse("smtpd.conf", loader, options);
  Diagnostics errors;
  for (const Diagnostic& d : result.diagnostics) {
    if (d.severity == Severity::kError) errors.push_back(d);
  }
  return errors;
}

TEST(SortByPlace, TheWholeFileStandsBehindItsLines) {
  Diagnostics found = {MakeError({"a", 0, 0}, "whole"), MakeError({"a", 3, 1}, "mistake"),
                       MakeWarning({"a", 2, 1}, "warning")};
  SortByPlace(&found);
  std::vector<std::string> order;
  for (const Diagnostic& each : found) order.push_back(each.message);
  EXPECT_THAT(order, testing::ElementsAre("warning", "mistake", "whole"));
}

std::string Listing(const Diagnostics& diagnostics) {
  std::string out;
  for (const Diagnostic& d : diagnostics) StrAppend(out, d.ToString(), "\n");
  return out;
}

void Check(const Mistake& mistake, const std::string& text) {
  const Diagnostics errors = AllErrors(text);
  SCOPED_TRACE(StrCat(text, "----\n", Listing(errors)));
  ASSERT_EQ(errors.size(), mistake.told.size());
  for (size_t i = 0; i < errors.size(); ++i) {
    const std::vector<std::string_view> parts = Split(mistake.told[i], '|');
    const SourceLocation& at = errors[i].location;
    const std::string place = StrCat(at.line, ":", at.column);
    EXPECT_EQ(at.file == "smtpd.conf" ? place : StrCat(at.file, ":", place), parts[0]);
    for (size_t k = 1; k < parts.size(); ++k)
      EXPECT_THAT(errors[i].message, HasSubstr(std::string(parts[k])));
  }
}

TEST(Mistakes, OfWords) {
  const Mistake mistakes[] = {
      {"\xef\xbb\xbflisten on lo0\n", {"1:1|byte order mark|save it without"}},
      {"lisen on lo0\n", {"1:1|unknown directive \"lisen\"|did you mean \"listen\""}},
      {"Listen on lo0\n", {"1:1|unknown directive \"Listen\"|did you mean \"listen\""}},
      {"tabel t { a }\n", {"1:1|did you mean \"table\""}},
      {"mach for any action zz\n", {"1:1|did you mean \"match\""}},
      {"actoin a relay\n", {"1:1|did you mean \"action\""}},
      {"accept from any for any relay\n", {"1:1|before 6.4|action and match"}},
      {"accept from any for local deliver to maildir\n", {"1:1|\"accept\"|action and match"}},
      {"smtpd_banner = \"x y\"\nlisten on lo0 banner x\n", {"2:15|\"banner\"|an option of listen"}},
      {"limit mta max 3\n", {"1:1|\"limit\"|there are: action, admd|smtp"}},
      {"bounce-warn 4h\n", {"1:1|unknown directive \"bounce-warn\""}},
      {"expire 4d\n", {"1:1|unknown directive \"expire\"|did you mean \"queue\""}},
      {"!match for any action zz\n", {"1:1|found \"!\"|a directive"}},
      {"25\n", {"1:1|the number 25|a directive"}},
      {"\"listen\" on lo0\n", {"1:1|\"listen\""}},
      {"x = $y\n", {"1:5|macro 'y' not defined"}},
      {"lan = 192.0.2.1\nlisten on $lna\n", {"2:11|macro 'lna' not defined|did you mean \"lan\""}},
      {"listen = lo0\n", {"1:1|reserved word|macro"}},
      {"my-net = lo0\n", {"1:1|macro name \"my-net\"|letters, digits and _"}},
      {"x = 25\n", {"1:5|the number 25|put it in quotes"}},
      {"x = a b\n", {"1:7|\"b\"|in quotes"}},
      {"x =\n", {"1:4|the end of the line|the macro's value"}},
      {"x = 3\nlisten on $x\n", {"1:5|the number 3|put it in quotes"}},
      {"x = a b\nlisten on lo0 port $x\n", {"1:7|\"b\"|in quotes"}},
      {"listen on \"lo0\nmatch for any action \"x\n",
       {"2:23|\"x\"|begins at 1:11|closing quote may be missing"}},
      {"listen on 'lo0\n", {"1:11|closing ' is missing"}},
      {"include \"/self\"\n", {"/self:1:9|includes itself|/self -> /self"}},
      {"include \"smtpd.conf\"\n", {"1:9|includes itself|smtpd.conf -> smtpd.conf"}},
      {"include \"/alias-of-self\"\n",
       {"/self-again:1:9|includes itself|/alias-of-self -> /self-again -> /alias-of-self"}},
      {"include \"/bad\"\n", {"/bad:1:1|did you mean \"listen\""}},
      {"include \"/none\"\n", {"1:9|/none|no such file"}},
      {"include\n", {"1:8|the end of the line|the path of a file"}},
      {"include /none\n", {"1:9|found \"/\"|the path of a file|put it in quotes"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

// The first mistake of a line does not hide the others.
TEST(Mistakes, SeveralInALine) {
  const Mistake mistakes[] = {
      {"action a relay helo \"x y\" pki nope ca nope2\n",
       {"1:21|helo \"x y\"", "1:31|pki name not found: nope", "1:39|ca name not found: nope2"}},
      {"listen on 10.0.0.300 port 99999 tls pki nope\n",
       {"1:11|invalid address", "1:27|invalid port", "1:41|pki name not found: nope"}},
      {"pki p cert \"/c\" key \"/k\"\nlisten on lo0 port 99999 tls pki p\nlisten on lo0 tls\n",
       {"2:20|invalid port", "3:15|tls needs a certificate"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

// What may have been the missing rule is not told as a missing rule, too.
TEST(Mistakes, NoRules) {
  const Mistake mistakes[] = {
      {"listen on lo0\n", {"0:0|no rules|match"}},
      {"", {"0:0|no rules|match"}},
      {"listen on eth0 prot 25\n", {"1:16|\"prot\"|did you mean \"port\""}},
      {"action a relay\nmatch for any action \"a\n", {"2:22|closing \" is missing"}},
      {"action a relay\nmatch for any action $a\n", {"2:22|macro 'a' not defined"}},
      {"mach for any action a\n", {"1:1|did you mean \"match\""}},
      {"include \"/none\"\n", {"1:9|no such file"}},
      {"include \"smtpd.conf\"\n", {"1:9|includes itself"}},
      {"match for any action b\n", {"1:22|no such action: b"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, mistake.text);
}

// What is declared further down is there: the order is what is wrong.
TEST(Mistakes, DeclaredBelowTheirUse) {
  const Mistake mistakes[] = {
      {"match for any action m\nmatch for local action zz\naction m relay\n",
       {"1:22|action m is declared only at line 3|move",
        "2:24|action zz is declared only at line 4"}},
      {"listen on lo0 filter f\nfilter f proc-exec \"x\"\n",
       {"1:22|filter f is declared only at line 2"}},
      {"filter f proc p\nproc p \"x\"\n", {"1:15|proc p is declared only at line 2"}},
      {"action a mbox alias <t>\ntable t { a = b }\n", {"1:21|table t is declared only at line 2"}},
      {"action a maildir wrapper w\nmda wrapper w \"x\"\n",
       {"1:26|mda wrapper w is declared only at line 2"}},
      {"match for any action out\ninclude \"/out\"\n",
       {"1:22|action out is declared only at /out:1:1"}},
      {"match for any action m\naction m maildri\n",
       {"1:22|no such action: m", "2:10|did you mean \"maildir\""}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

// All that is wrong with a line is told at once.
TEST(Mistakes, SeveralOnOneLine) {
  const Mistake mistakes[] = {
      {"action a relay hots smtp://x backpu helo mx.example.org srcs 192.0.2.1\n",
       {"1:16|\"hots\"|did you mean \"host\"", "1:30|\"backpu\"|did you mean \"backup\"",
        "1:57|\"srcs\"|did you mean \"src\""}},
      {"action a relay mail-from bob host \"foo bar\" auth <nothing> tls no\n",
       {"1:26|\"bob\"", "1:35|foo bar|no host name", "1:50|no such table: nothing"}},
      {"listen on lo0 port smpt tga X hostname \"x y\"\n",
       {"1:20|\"smpt\"", "1:25|\"tga\"|did you mean \"tag\"", "1:40|x y|no host name"}},
      {"listen on lo0 port 25 port 26 port 27\n",
       {"1:23|port already specified", "1:31|port already specified"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

TEST(Mistakes, OfListeners) {
  const char* kPki = "pki p cert \"/c\" key \"/k\"\n";
  const Mistake mistakes[] = {
      {"listen lo0\n", {"2:8|\"lo0\"|expected \"on\""}},
      {"listen on\n", {"2:10|the end of the line|an interface, an address"}},
      {"listen on lo0 port 99999\n", {"2:20|invalid port: 99999|1 to 65535"}},
      {"listen on lo0 port smpt\n", {"2:20|\"smpt\"|did you mean \"smtp\""}},
      {"listen on lo0 port nope\n", {"2:20|\"nope\" is neither a number nor a service: smtp"}},
      {"listen on lo0 port\n", {"2:19|the end of the line|a port number or service"}},
      {"listen on lo0:25\n", {"2:11|lo0:25|port"}},
      {"listen on 127.0.0.1:25\n", {"2:11|127.0.0.1:25|port"}},
      {"listen on 300.1.1.1\n", {"2:11|300.1.1.1|invalid address"}},
      {"listen on 192.0.2.0/24\n", {"2:11|192.0.2.0/24|invalid address"}},
      {"listen on * port 25\n", {"2:11|found \"*\"|an interface|all"}},
      {"listen on lo0 tls\n", {"2:15|tls needs a certificate|pki"}},
      {"listen on lo0 port 465 smtps\n", {"2:24|smtps needs a certificate|pki"}},
      {"listen on lo0 tls-require\n", {"2:15|tls-require needs a certificate|pki"}},
      {"listen on lo0 starttls pki p\n", {"2:15|\"starttls\"|tls"}},
      {"listen on lo0 secure pki p\n", {"2:15|\"secure\""}},
      {"listen on lo0 tls pki q\n", {"2:23|pki name not found: q|declared: p"}},
      {"listen on lo0 tls certificate p\n", {"2:19|\"certificate\""}},
      {"listen on lo0 pki p\n", {"2:19|pki requires tls"}},
      {"listen on lo0 tls smtps pki p\n", {"2:19|TLS mode already specified"}},
      {"listen on lo0 tls pki p pki p\n", {"2:29|pki p already specified"}},
      {"listen on lo0 port 25 port 587\n", {"2:23|port already specified"}},
      {"listen on lo0 auth\n", {"2:15|auth requires tls"}},
      {"listen on lo0 port 587 auth-optional\n", {"2:24|auth-optional requires tls"}},
      {"listen on lo0 tls pki p auth <users>\n", {"2:30|no such table: users"}},
      {"listen on lo0 tls pki p auth users>\n", {"2:30|auth needs key = value pairs|<users>"}},
      {"table u { bob }\nlisten on lo0 tls pki p auth <u>\n",
       {"3:30|table \"u\"|auth|key = value"}},
      {"listen on lo0 proto imap\n", {"2:15|needs auth"}},
      {"listen on lo0 proto pop3\n", {"2:21|\"pop3\"|smtp or imap"}},
      {"listen on lo0 proto imap tls pki p auth mask-src\n",
       {"2:41|mask-src has no meaning for proto imap"}},
      {"listen on lo0 proto imap tls pki p auth no-dsn\n", {"2:41|no-dsn has no meaning"}},
      {"listen on lo0 hostname mx.example.org hostname b\n", {"2:39|hostname already specified"}},
      {"listen on lo0 tag abcdefghijabcdefghijabcdefghijabcdefghij\n",
       {"2:19|tag name too long|32"}},
      {"listen on socket port 25\n", {"2:18|port has no meaning for listen on socket"}},
      {"listen on lo0 filter nothing\n", {"2:22|no filter with that name: nothing"}},
      {"listen on lo0 mask-source\n", {"2:15|\"mask-source\"|did you mean \"mask-src\""}},
      {"listen on lo0 inet\n", {"2:15|\"inet\"|did you mean \"inet4\""}},
      {"listen on lo0 inet4 inet6\n", {"2:21|address family already specified"}},
      {"listen on lo0 tls pki p protocols \"TLSv1.4\"\n",
       {"2:35|\"TLSv1.4\"|TLSv1.2 and TLSv1.3 are there"}},
      {"listen on lo0 tls pki p protocols \"TLSv1.1\"\n", {"2:35|leaves no version"}},
      {"listen on lo0 tls pki p protocols \"!TLSv1.2:!TLSv1.3\"\n", {"2:35|leaves no version"}},
      {"listen on lo0 proto imap tls pki p auth hostnames { \"::1\" = a.b }\n",
       {"2:41|hostnames has no meaning for proto imap"}},
      {"listen on socket proxy-v2\n", {"2:18|proxy-v2 has no meaning for listen on socket"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(kPki, mistake.text, kTail));
}

TEST(Mistakes, OfCertificates) {
  const Mistake mistakes[] = {
      {"pki p cert \"/c\"\n", {"1:1|pki p has no key"}},
      {"pki p key \"/k\"\n", {"1:1|pki p has no cert"}},
      {"pki p certificate \"/c\"\n", {"1:7|\"certificate\"|cert, key or dhe"}},
      {"pki p\n", {"1:6|cert, key or dhe"}},
      {"pki p cert /etc/ssl/c.pem\n", {"1:12|found \"/\"|put it in quotes"}},
      {"pki p cert \"c.pem\"\npki p key \"/k\"\n", {}},
      {"pki p dhe yes\n", {"1:11|invalid dhe keyword: yes|none, auto or legacy"}},
      {"ca c\n", {"1:5|\"cert\""}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

TEST(Mistakes, OfTables) {
  const Mistake mistakes[] = {
      {"table t\n", {"1:8|file:/path"}},
      {"table t {}\n", {"1:7|at least one entry"}},
      {"table t { a = b, c }\n", {"1:18|values or key = value pairs"}},
      {"table t { a b\nlisten on lo0\n", {"1:9|has no }|line 2|\"listen\""}},
      {"table t { 25 }\n", {"1:11|the number 25|put it in quotes"}},
      {"table t { @example.org }\n", {"1:11|found \"@\"|put it in quotes"}},
      {"table t { *.example.org }\n", {"1:11|found \"*\"|put it in quotes"}},
      {"table t fil:/x\n", {"1:9|backend \"fil\"|did you mean \"file\""}},
      {"table t hash:/etc/aliases\n", {"1:9|backend \"hash\" does not exist"}},
      {"table t file:x\n", {"1:9|must be absolute|\"x\""}},
      {"table t /etc/mail/aliases\n", {"1:9|found \"/\"|put it in quotes"}},
      {"table alias file:/x\n", {"1:7|\"alias\" is a reserved word|in quotes"}},
      {"table t { a }\ntable t { b }\n", {"2:7|\"t\" already defined at line 1"}},
      {"table t { a, b = c }\ntable t { b }\n",
       {"1:14|not both", "2:7|\"t\" already defined above"}},
      {"table t db:x.db\n", {"1:9|must be absolute|\"x.db\""}},
      {"libexec bin\n", {"1:9|libexec: the path must be absolute|\"bin\""}},
      {"libexec \"/opt/tables\"\ntable t \"../x:/y\"\n", {"2:9|backend \"../x\" does not exist"}},
      {"table users { bob = \"1000:1000\" }\naction a mbox userbase <users>\n",
       {"1:15|bob|1000:1000|uid:gid:home"}},
      {"table users { bob = \"bob:users:/home/bob\" }\naction a mbox userbase <users>\n",
       {"1:15|uid and gid must be numbers"}},
      {"table users { bob = \"1:1:/home/../root\" }\naction a mbox userbase <users>\n",
       {"1:15|/home/../root|\"..\""}},
      {"table users { bob = \"1:1:home/bob\" }\naction a mbox userbase <users>\n",
       {"1:15|\"home/bob\"|absolute"}},
      {"table nets { \"192.0.2.0/24\", \"192.0.2.1/33\" }\nmatch from src <nets> for any action "
       "zz\n",
       {"1:30|192.0.2.1/33|neither an address nor a network",
        "2:38|action zz is declared only at line 3"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

TEST(Mistakes, OfActions) {
  const Mistake mistakes[] = {
      {"action relay\n", {"1:8|\"relay\" is a reserved word|in quotes"}},
      {"action a\n", {"1:9|maildir, mbox, lmtp"}},
      {"action a deliver to mbox\n", {"1:10|\"deliver\"|maildir, mbox"}},
      {"action a mailbox\n", {"1:10|\"mailbox\"|maildir"}},
      {"action a maildr\n", {"1:10|did you mean \"maildir\""}},
      {"action a maildir /var/mail\n", {"1:18|found \"/\"|put it in quotes"}},
      {"action a maildir \"\"\n", {"1:18|an empty maildir path"}},
      {"action a maildir \"/m/%{user}\"\n", {"1:18|no such variable|user"}},
      {"action a maildir \"/m/%{user.username\"\n", {"1:18|%{user.username|}"}},
      {"action a mbox user bob\n", {"1:15|user may not be used with mbox"}},
      {"action a mbox alias aliases\n", {"1:21|alias|key = value pairs|<aliases>"}},
      {"action a mbox alias <aliases>\n", {"1:21|no such table: aliases"}},
      {"action a mbox alias { a = b } virtual { a = b }\n",
       {"1:31|alias and virtual are exclusive"}},
      {"action a mbox junk\n", {"1:15|\"junk\"|an option of mbox"}},
      {"action a maildir ttl 4\n", {"1:22|4|s, m, h, d"}},
      {"action a maildir ttl 4w\n", {"1:22|4w|s, m, h, d"}},
      {"action a relay ttl 4h tls\n", {"1:23|ttl must be the last"}},
      {"action a relay host \"foo://x\"\n", {"1:21|unknown scheme \"foo\"|smtp+tls"}},
      {"action a relay host \"smpt://x\"\n", {"1:21|did you mean \"smtp\""}},
      {"action a relay host \"tls://x\"\n", {"1:21|unknown scheme \"tls\""}},
      {"table h { \"smtp://a\", \"ftp://b\" }\naction a relay host <h>\n", {"1:23|\"ftp\""}},
      {"action a relay host smtp://x:0\n", {"1:21|\"0\" is no port"}},
      {"action a relay host \"lmtp://x\"\n", {"1:21|needs a port"}},
      {"action a relay host \"bad host\"\n", {"1:21|no host name"}},
      {"action a relay host smtps://label@x\n", {"1:21|needs auth <table>"}},
      {"action a relay host smtp://label@x\n", {"1:21|smtp+tls:// and smtps:// only"}},
      {"action a relay auth <secrets>\n", {"1:16|auth may not be specified without host"}},
      {"action a relay host smtps://l@x auth <secrets>\n", {"1:38|no such table: secrets"}},
      {"action a relay via smtp://x\n", {"1:16|\"via\"|an option of relay"}},
      {"action a relay as \"@x.org\"\n", {"1:16|\"as\"|an option of relay"}},
      {"action a relay backup host x\n", {"1:23|backup and host are mutually exclusive"}},
      {"action a relay mail-from bob\n", {"1:26|\"bob\"|user@domain or @domain"}},
      {"action a relay helo \"x y\"\n", {"1:21|\"x y\"|neither a host name"}},
      {"action a relay helo \"[192.0.2.300]\"\n", {"1:21|neither a host name"}},
      {"action a relay helo \"[IPv6:2001:db8::1]\"\n", {}},
      {"table s { l = \":secret\" }\naction a relay host smtps://l@x auth <s>\n",
       {"1:11|label \"l\" must be user:password"}},
      {"table s { l = \"secret\" }\naction a relay host smtps://l@x auth <s>\n", {}},
      {"table s { l = \"u:p\" }\naction a relay host smtps://l@x auth <s>\n", {}},
      {"action a relay srs\n", {"1:16|srs key"}},
      {"srs key \"k\"\naction a relay srs\n", {}},
      {"action a relay protocols \"TLSv1.9\"\n", {"1:26|\"TLSv1.9\"|TLSv1.2 and TLSv1.3"}},
      {"action a relay tls noverify\n", {"1:20|\"noverify\""}},
      {"action a lmtp \"/run/lmtp\"\n", {}},
      {"action a lmtp localhost:24 rcpt-to\n", {}},
      {"action a lmtp \"[::1]:24\"\n", {}},
      {"action a lmtp localhost\n", {"1:15|needs a port|host:port or the path"}},
      {"action a lmtp \"lmtp://x:24\"\n", {"1:15|no scheme"}},
      {"action a lmtp \"x:99999\"\n", {"1:15|is no port"}},
      {"action a mda procmail\n", {}},
      {"action a mda \"procmail 'x\"\n", {"1:14|a quote|not closed"}},
      {"mda wrapper w \"nice \\\"%{mda}\"\n", {"1:15|not closed"}},
      {"mda wrapper w \"nice %{mda}\"\naction a maildir wrapper w\n", {}},
      {"action a relay ca nothing\n", {"1:19|ca name not found: nothing"}},
      {"action a relay src 192.0.2.300\n", {"1:20|192.0.2.300|no address"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

TEST(Mistakes, OfRules) {
  const Mistake mistakes[] = {
      {"match from any for any\n", {"3:23|the end of the line|action or reject"}},
      {"match for any action\n", {"3:21|the name of an action"}},
      {"match for any action zy\n", {"3:22|no such action: zy|did you mean \"zz\""}},
      {"match for any action zz extra\n", {"3:25|\"extra\"|the end of the line"}},
      {"match from all for any action zz\n", {"3:12|\"all\"|did you mean \"any\""}},
      {"match from 192.0.2.0/24 for any action zz\n", {"3:12|\"192.0.2.0/24\"|src"}},
      {"match from <lan> for any action zz\n", {"3:12|\"<\"|src"}},
      {"match for <domains> action zz\n", {"3:11|\"<\"|domain"}},
      {"match for domain <domains> action zz\n", {"3:18|no such table: domains"}},
      {"match for example.org action zz\n", {"3:11|\"example.org\"|domain"}},
      {"match for any from any from local action zz\n", {"3:24|from already specified"}},
      {"match for any auth auth action zz\n", {"3:20|auth already specified"}},
      {"match from src \"300.0.0.1\" for any action zz\n", {"3:16|300.0.0.1|neither an address"}},
      {"match from rdns regex \"a(\" for any action zz\n", {"3:23|no regular expression"}},
      {"match sender \"x@y\" for any action zz\n", {"3:7|\"sender\"|mail-from"}},
      {"match recipient \"x@y\" action zz\n", {"3:7|\"recipient\""}},
      {"match for any relay\n", {"3:15|\"relay\"|action"}},
      {"match for any deny\n", {"3:15|\"deny\"|reject"}},
      {"match any action zz\n", {"3:7|\"any\"|from|for"}},
      {"match tagged X for any action zz\n", {"3:7|\"tagged\"|did you mean \"tag\""}},
      {"match tag for any action zz\n", {"3:11|\"for\"|in quotes"}},
      {"match mail-from @example.org for any action zz\n", {"3:17|found \"@\"|put it in quotes"}},
      {"match !reject\n", {"3:8|\"reject\""}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(kTail, mistake.text));
}

TEST(Mistakes, OfSettings) {
  const Mistake mistakes[] = {
      {"smtp max-message-size 35MB\n", {"1:23|35MB|K, M or G"}},
      {"smtp max-message-size -1\n", {"1:23|-1"}},
      {"smtp size 3\n", {"1:6|\"size\"|max-message-size"}},
      {"smtp limit max-rcpts 3\n", {"1:12|did you mean \"max-rcpt\""}},
      {"smtp limit max-rcpt many\n", {"1:21|\"many\"|a number"}},
      {"smtp limit\n", {"1:11|max-mails, max-rcpt, max-command-line|or max-idle-commands"}},
      {"smtp limit max-size 3\n", {"1:12|\"max-size\"|max-text-line|max-auth-failures"}},
      {"smtp limit max-command-line 100\n", {"1:29|invalid size: 100|at least 512"}},
      {"smtp limit max-command-line 1G\n", {"1:29|invalid size: 1G|at most 1048576"}},
      {"smtp limit max-text-line many\n", {"1:26|invalid size: many|K, M or G)"}},
      {"smtp limit max-errors 0\n", {"1:23|invalid max-errors: 0|1 to"}},
      {"smtp timeout\n", {"1:13|command, data-init, data-block, write, transaction or session"}},
      {"smtp timeout greeting 5m\n", {"1:14|\"greeting\"|command, data-init"}},
      {"smtp timeout comand 5m\n", {"1:14|did you mean \"command\""}},
      {"smtp timeout command 300\n", {"1:22|invalid timeout command: 300|s, m, h, d"}},
      {"smtp timeouts command 5m\n", {"1:6|did you mean \"timeout\""}},
      {"mta timeout session 5m\n", {"1:13|\"session\"|connect, greeting, helo|or quit"}},
      {"mta timeout data-end\n", {"1:21|the end of the line|timeout data-end, like 4h"}},
      {"mta limit max-reply-line 10\n", {"1:26|at least 512"}},
      {"smtp sub-addr-delim \"+-\"\n", {"1:21|one character|+-"}},
      {"smtp sub-addr-delim +\n", {"1:21|found \"+\"|in quotes"}},
      {"smtp ciphers\n", {"1:13|a list of ciphers"}},
      {"queue ttl 4\n", {"1:11|4|s, m, h, d"}},
      {"queue ttl 0d\n", {"1:11|0d"}},
      {"queue ttl -1d\n", {"1:11|-1d"}},
      {"queue expire 4d\n", {"1:7|\"expire\"|ttl"}},
      {"queue encryption key \"k\"\n", {"1:22|has 1 characters|32|openssl rand"}},
      {"queue encryption \"\"\n", {"1:18|has 0 characters"}},
      {"queue reserve much\n", {"1:15|invalid size: much|K, M or G"}},
      {"queue reserve\n", {"1:14|a size, like"}},
      {"srs key\n", {"1:8|the end of the line|a secret"}},
      {"srs key \"\"\n", {"1:9|empty srs key"}},
      {"bounce warn-interval 4\n", {"1:22|4|s, m, h, d"}},
      {"bounce warn 4h\n", {"1:8|\"warn\"|warn-interval"}},
      {"mta max-deferred x\n", {"1:18|\"x\"|a number"}},
      {"mta limit max-conn-per-host 0\n", {"1:29|0|1 to"}},
      {"mta limit max-con-per-host 3\n", {"1:11|did you mean \"max-conn-per-host\""}},
      {"mta limits max-conn-per-host 3\n", {"1:5|did you mean \"limit\""}},
      {"spool var/spool\n", {"1:7|absolute|var/spool"}},
      {"spool \"spool\"\n", {"1:7|absolute|spool"}},
      {"mailname \"two words\"\n", {"1:10|two words|no host name"}},
      {"mailname \"\"\n", {"1:10|no host name"}},
      {"mailname \"http://x\"\n", {"1:10|http://x|no host name"}},
      {"resolver file \"/z\"\n", {"1:10|\"file\"|timeout or zone"}},
      {"resolver zone \"z\"\n", {"1:15|absolute"}},
      {"resolver timeout\n", {"1:17|resolver timeout, like 4h"}},
      {"resolver timeout 0s\n", {"1:18|invalid resolver timeout: 0s"}},
      {"resolver timeout 2m\n", {"1:18|1s to 60s"}},
      {"resolver timeuot 2s\n", {"1:10|did you mean \"timeout\""}},
      {"filter f phase conect match rdns junk\n", {"1:16|did you mean \"connect\""}},
      {"filter f phase connect match junk\n", {"1:30|a condition: fcrdns"}},
      {"filter f phase connect match rdns reject\n", {"1:41|a status, like"}},
      {"filter f proc nothing\n", {"1:15|no proc declared|nothing"}},
      {"filter f chain { }\n", {"1:16|empty filter chain"}},
      {"admd\n", {"1:5|the administrative domain"}},
  };
  for (const Mistake& mistake : mistakes) Check(mistake, StrCat(mistake.text, kTail));
}

// What is not obeyed is said at its own word, and what is obeyed is not.
TEST(Mistakes, SettingsWithoutEffect) {
  MemoryLoader loader(
      "smtpd.conf",
      StrCat("mta limit max-conn-per-host 3 reconn-delay-route 2 inet4 session-keepalive 5\n"
             "mta limit for domain example.org max-conn-per-host 3 task-lowat 1\n"
             "mda limit max-session 2 task-hiwat 3\nscheduler limit max-schedule 7\n"
             "admd example.org\nmda wrapper w \"x %{mda}\"\nmta max-deferred 4\n",
             kTail));
  const ParseResult result = Parse("smtpd.conf", loader);
  ASSERT_NE(result.config, nullptr) << Listing(result.diagnostics);
  std::string told;
  for (const Diagnostic& d : IneffectiveSettings(*result.config)) {
    EXPECT_EQ(d.severity, Severity::kWarning);
    EXPECT_THAT(d.message, HasSubstr("has no effect"));
    StrAppend(told, d.location.line, ":", d.location.column, " ",
              d.message.substr(0, d.message.find(" has")), "\n");
  }
  EXPECT_EQ(told,
            "1:31 mta limit reconn-delay-route\n2:54 mta limit task-lowat\n"
            "3:25 mda limit task-hiwat\n"
            "4:17 scheduler limit max-schedule\n5:1 admd\n");
}

// A word that is far from all others is nobody's slip.
TEST(Mistakes, NoGuessFromAfar) {
  EXPECT_EQ(DidYouMean("nope", {"pop3", "smtp"}), "");
  EXPECT_EQ(DidYouMean("prot", {"port"}), " (did you mean \"port\"?)");
  EXPECT_EQ(DidYouMean("mach", {"match"}), " (did you mean \"match\"?)");
}

// What can be read of a file with mistakes is there to be checked, and not to be run.
TEST(Mistakes, LeaveTheRestReadable) {
  MemoryLoader loader("smtpd.conf", "pki p cert \"/c\" key \"/k\"\nlisen on lo0\n");
  const ParseResult result = Parse("smtpd.conf", loader);
  EXPECT_EQ(result.config, nullptr);
  ASSERT_NE(result.readable, nullptr);
  EXPECT_EQ(result.readable->pkis.size(), 1u);
  EXPECT_EQ(Parse("none.conf", loader).readable, nullptr);
}

// A warning leaves the configuration in force.
TEST(Mistakes, Warnings) {
  struct Row {
    const char* text;
    const char* place;
    const char* says;
  };
  const Row rows[] = {
      {"srs key \"k\"\n", "1:1", "no action has the word srs"},
      {"srs ttl 4d\n", "1:1", "without a key"},
      {"ca c cert \"/a\"\nca c cert \"/b\"\n", "2:1", "first at line 1: this one counts"},
      {"pki p cert \"/c\" key \"/k\"\ntable u { bob = \"hunter2\" }\nlisten on lo0 tls pki p auth "
       "<u>\n",
       "2:11", "login \"bob\" is no hash"},
      {"pki p cert \"/c\" key \"/k\"\ntable u { bob = \"\" }\nlisten on lo0 tls pki p auth <u>\n",
       "2:11", "login \"bob\" has no password"},
  };
  for (const Row& row : rows) {
    MemoryLoader loader("smtpd.conf", StrCat(row.text, kTail));
    const ParseResult result = Parse("smtpd.conf", loader);
    SCOPED_TRACE(StrCat(row.text, "----\n", Listing(result.diagnostics)));
    ASSERT_NE(result.config, nullptr);
    ASSERT_EQ(result.diagnostics.size(), 1u);
    const Diagnostic& told = result.diagnostics[0];
    EXPECT_EQ(told.severity, Severity::kWarning);
    EXPECT_EQ(StrCat(told.location.line, ":", told.location.column), row.place);
    EXPECT_THAT(told.message, HasSubstr(row.says));
    EXPECT_EQ(told.message.find("hunter2"), std::string::npos) << "a password in the log";
  }
}

}  // namespace
}  // namespace postern::policy
