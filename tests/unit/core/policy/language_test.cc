// smtpd.conf(5), statement by statement: what is accepted, what is refused and where, which words
// are reserved, and what is said where nothing was written.
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "lib/core/base/strings.h"
#include "lib/core/policy/lexer.h"
#include "lib/core/policy/parse.h"

namespace postern::policy {
namespace {

using ::testing::HasSubstr;

// Names for the statements to use; its lines come before theirs.
constexpr char kFront[] =
    "pki p cert \"/c\" key \"/k\"\n"
    "pki q cert \"/c\" key \"/k\"\n"
    "ca c cert \"/c\"\n"
    "table list { a.tld, b.tld }\n"
    "table nets { 192.0.2.1, \"2001:db8::/32\" }\n"
    "table map { a = b, c => d }\n"
    "table users { u = \"1:2:/home/u\" }\n"
    "table secrets { l = \"u:p\" }\n"
    "table names { 192.0.2.1 = mx.a.tld }\n"
    "table hosts { \"smtp://a.tld\", \"smtp://b.tld\" }\n"
    "table routes { a.tld = \"smtp://b.tld\" }\n"
    "table \"any\" { x }\n"
    "mda wrapper w \"x %{mda}\"\n"
    "proc pr \"x\"\n"
    "filter f proc-exec \"x\"\n"
    "filter g phase connect match rdns junk\n"
    "srs key \"secret\"\n"
    "action a relay\n";
constexpr int kFrontLines = 18;
constexpr char kTail[] = "match for any action a\n";

// A statement, and where and how it is refused ("column|words|..."); null: it is accepted.
struct Row {
  const char* text;
  const char* refused = nullptr;
};

void CheckRow(const Row& row) {
  MemoryLoader loader("f", StrCat(kFront, row.text, "\n", kTail));
  loader.Add("/inc", "table inc { x }\n");
  ParseOptions options;
  options.server_name = [] { return std::string("mx.a.tld"); };
  const ParseResult result = Parse("f", loader, options);
  std::string all;
  const Diagnostic* first = nullptr;
  for (const Diagnostic& d : result.diagnostics) {
    if (d.severity != Severity::kError) continue;
    StrAppend(all, d.ToString(), "\n");
    if (first == nullptr) first = &d;
  }
  if (row.refused == nullptr) {
    EXPECT_EQ(all, "") << row.text;
    return;
  }
  ASSERT_NE(first, nullptr) << row.text << " is accepted";
  const std::vector<std::string_view> parts = Split(row.refused, '|');
  EXPECT_EQ(StrCat(first->location.line, ":", first->location.column),
            StrCat(kFrontLines + 1, ":", parts[0]))
      << row.text << "\n"
      << all;
  for (size_t i = 1; i < parts.size(); ++i)
    EXPECT_THAT(first->message, HasSubstr(std::string(parts[i]))) << row.text;
}

TEST(Language, Tables) {
  const Row rows[] = {
      {"table x file:/abs"},
      {"table x \"/abs\""},
      {"table x \"file:/abs\""},
      {"table x db:/abs.db"},
      {"table x passwd:/abs"},
      {"table x sqlite:/abs"},
      {"table x ldap:/abs"},
      {"table x { a }"},
      {"table x { a b, c\n d }"},
      {"table x {\n a,\n b,\n }"},
      {"table x { a = b, c => \"d e\" }"},
      {"table x { \"*\", '@x' }"},
      {"table \"relay\" { a }"},
      {"table x { a, b = c }", "14|values or key = value pairs"},
      {"table x { }", "7|at least one entry"},
      {"table x { 5 }", "11|the number 5|put it in quotes"},
      {"table x { local }", "11|\"local\"|reserved word"},
      {"table x { /etc }", "11|\"/\"|put it in quotes"},
      {"table list { a }", "7|already defined|line 4"},
      {"table x file:rel", "9|absolute"},
      {"table x nosuch:/abs", "9|\"nosuch\" does not exist"},
      {"table x passwrd:/abs", "9|did you mean \"passwd\""},
      {"table relay { a }", "7|reserved word"},
      {"table x", "8|the end of the line"},
      {"table x { a } b", "15|the end of the line"},
      {"table xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx { a }",
       "7|64 characters"},
  };
  for (const Row& row : rows) CheckRow(row);
}

TEST(Language, PkiAndCa) {
  const Row rows[] = {
      {"pki x cert \"/c\"\npki x key \"/k\""},
      {"pki x cert \"/c\" key \"/k\" dhe auto"},
      {"pki \"*\" cert \"/c\" key \"/k\" dhe none"},
      {"pki X.tld cert \"/c\"\npki x.TLD key \"/k\" dhe legacy"},
      {"ca x cert \"/c\""},
      {"smtp ciphers \"HIGH:!aNULL\""},
      {"pki x cert \"/c\"", "1|pki x has no key"},
      {"pki x", "6|cert, key or dhe"},
      {"pki x dhe maybe", "11|maybe|none, auto or legacy"},
      {"pki x certificate \"/c\"", "7|did you mean \"cert\""},
      {"pki * cert \"/c\"", "5|put it in quotes"},
      {"pki x cert /c", "12|put it in quotes"},
      {"ca c cert \"/c\""},
      {"ca x key \"/c\"", "6|expected \"cert\""},
  };
  for (const Row& row : rows) CheckRow(row);
}

TEST(Language, Listen) {
  const Row rows[] = {
      {"listen on lo0"},
      {"listen on all"},
      {"listen on egress inet4"},
      {"listen on 192.0.2.1"},
      {"listen on \"2001:db8::1\""},
      {"listen on mx.a.tld inet6"},
      {"listen on socket"},
      {"listen on socket filter f mask-src no-dsn tag T"},
      {"listen on lo0 port 2525"},
      {"listen on lo0 port submission"},
      {"listen on lo0 port smtps"},
      {"listen on lo0 port \"587\""},
      {"listen on lo0 tls pki p"},
      {"listen on lo0 tls pki p pki q"},
      {"listen on lo0 tls-require pki p"},
      {"listen on lo0 tls-require verify pki p ca c"},
      {"listen on lo0 smtps pki p"},
      {"listen on lo0 smtps verify pki p"},
      {"listen on lo0 port 25 smtps pki p"},
      {"listen on lo0 pki p tls auth"},
      {"listen on lo0 tls pki p auth <map>"},
      {"listen on lo0 tls pki p auth-optional"},
      {"listen on lo0 tls pki p auth-optional <map> tag X"},
      {"listen on lo0 tls pki p auth pam \"smtpd\" tag X"},
      {"listen on lo0 tls pki p auth-optional pam smtpd folder \"/etc/x\""},
      {"listen on lo0 tls pki p auth pam", "33|the name of a service of PAM"},
      {"listen on lo0 tls pki p auth pam \"a/b\"", "34|is no service of PAM"},
      {"listen on lo0 tls pki p auth pam a folder \"pam.d\"", "43|is an absolute path"},
      {"listen on lo0 auth pam a", "15|auth requires tls"},
      {"listen on lo0 filter f"},
      {"listen on lo0 filter { f, g }"},
      {"listen on lo0 filter { f g }"},
      {"listen on lo0 tag X hostname mx.a.tld hostnames <names> mask-src"},
      {"listen on lo0 senders <map>"},
      {"listen on lo0 senders any"},
      {"listen on lo0 senders own masquerade"},
      {"listen on lo0 senders <map> masquerade received-auth no-dsn proxy-v2"},
      {"listen on lo0 tls pki p protocols \"TLSv1.2\" ciphers \"HIGH\""},
      {"listen lo0", "8|\"lo0\"|expected \"on\""},
      {"listen on", "10|an interface, an address"},
      {"listen on *", "11|all of them are all"},
      {"listen on 192.0.2.300", "11|invalid address"},
      {"listen on lo0 port 65536", "20|invalid port"},
      {"listen on lo0 port smpt", "20|did you mean \"smtp\""},
      {"listen on lo0 tls pki p smtps", "25|TLS mode already specified"},
      {"listen on lo0 tls pki p tls-require", "25|TLS mode already specified"},
      {"listen on lo0 tls pki p pki P", "29|already specified"},
      {"listen on lo0 tag a tag b", "21|tag already specified"},
      {"listen on lo0 auth", "15|auth requires tls"},
      {"listen on lo0 pki p", "19|pki requires tls"},
      {"listen on lo0 tls", "15|tls needs a certificate|\"*\""},
      {"listen on lo0 tls pki nope", "23|pki name not found: nope"},
      {"listen on lo0 tls pki p ca nope", "28|ca name not found: nope"},
      {"listen on lo0 tls pki p auth <list>", "30|may not be used for auth lookups"},
      {"listen on lo0 senders <list>", "23|may not be used for senders lookups"},
      {"listen on lo0 hostnames <list>", "25|may not be used for hostnames lookups"},
      {"listen on lo0 filter nope", "22|no filter with that name: nope"},
      {"listen on lo0 tag xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "19|tag name too long"},
      {"listen on socket port 25", "18|no meaning for listen on socket"},
      {"listen on socket\nlisten on socket", nullptr},
  };
  for (const Row& row : rows) {
    if (std::string_view(row.text).find('\n') == std::string_view::npos) CheckRow(row);
  }
}

TEST(Language, Actions) {
  const Row rows[] = {
      {"action x mbox"},
      {"action \"relay\" relay"},
      {"action x maildir"},
      {"action x maildir junk"},
      {"action x maildir \"~/Mail\""},
      {"action x maildir \"/v/%{dest.domain:lowercase}/%{dest.user[0:3]}\" junk"},
      {"action x lmtp \"/run/lmtp\""},
      {"action x lmtp \"localhost:24\" rcpt-to"},
      {"action x lmtp localhost:24 rcpt-to virtual <map> ttl 4h"},
      {"action x mda \"procmail -f -\""},
      {"action x mda \"procmail %{user.username}\" user bob"},
      {"action x forward-only"},
      {"action x expand-only alias <map>"},
      {"action x mbox alias <map> userbase <users> wrapper w ttl 1d"},
      {"action x maildir userbase <users> user bob virtual <map>"},
      {"action x maildir alias { a = b }"},
      {"action x relay helo mx.a.tld"},
      {"action x relay helo-src <names> src { 192.0.2.1, \"2001:db8::1\" }"},
      {"action x relay src 192.0.2.1"},
      {"action x relay host smtp://a.tld"},
      {"action x relay host a.tld"},
      {"action x relay host \"[192.0.2.1]:25\""},
      {"action x relay host { \"smtp+tls://a.tld\", \"smtps://b.tld:465\" }"},
      {"action x relay host <hosts>"},
      {"action x relay host smtp+notls://a.tld"},
      {"action x relay host lmtp://a.tld:24"},
      {"action x relay host smtps://l@a.tld auth <secrets>"},
      {"action x relay domain <routes>"},
      {"action x relay backup"},
      {"action x relay backup mx \"mx2.a.tld\""},
      {"action x relay mail-from \"@a.tld\""},
      {"action x relay mail-from \"x@a.tld\" tls"},
      {"action x relay tls no-verify pki p ca c srs ttl 10d"},
      {"action x relay protocols \"TLSv1.2\" ciphers \"HIGH\" filter f"},
      {"action relay relay", "8|reserved word"},
      {"action a mbox", "1|already declared|line 18"},
      {"action x", "9|maildir, mbox"},
      {"action x nosuch", "10|maildir, mbox"},
      {"action x maildir rel"},
      {"action x maildir \"/%{nosuch}\"", "18|nosuch"},
      {"action x mbox user bob", "15|user may not be used with mbox"},
      {"action x forward-only user bob", "23|user may not be used with forward-only"},
      {"action x expand-only user bob", "22|user may not be used with expand-only"},
      {"action x mbox alias <map> virtual <map>", "27|already specified|exclusive"},
      {"action x mbox alias <list>", "21|may not be used for alias lookups"},
      {"action x maildir userbase { a, b }", "27|may not be used for userbase lookups"},
      {"action x mbox alias map", "21|the table of that name is <map>"},
      {"action x mbox ttl 1d alias <map>", "22|ttl must be the last"},
      {"action x mbox ttl 4w", "19|invalid ttl"},
      {"action x mbox ttl 0d", "19|invalid ttl"},
      {"action x mbox wrapper nope", "23|no mda wrapper"},
      {"action x relay host smtp://a.tld backup", "34|mutually exclusive"},
      {"action x relay backup host smtp://a.tld", "23|mutually exclusive"},
      {"action x relay domain <routes> host a.tld", "32|already specified"},
      {"action x relay auth <secrets>", "16|without host or domain before it"},
      {"action x relay auth <secrets> host smtps://l@a.tld", "16|without host or domain before it"},
      {"action x relay host smtps://l@a.tld", "21|the label l needs auth"},
      {"action x relay host smtp://l@a.tld auth <secrets>", "21|a label is for smtp+tls"},
      {"action x relay host gopher://a.tld", "21|unknown scheme"},
      {"action x relay host lmtp://a.tld", "21|needs a port"},
      {"action x relay host <map>", "21|may not be used for relay host lookups"},
      {"action x relay domain <hosts>", "23|may not be used for relay domain lookups"},
      {"action x relay pki nope", "20|pki name not found"},
      {"action x relay ca nope", "19|ca name not found"},
      {"action x relay mail-from bob", "26|user@domain or @domain"},
      {"action x relay alias <map>", "16|an option of relay"},
      {"action x mbox helo mx.a.tld", "15|an option of mbox"},
  };
  for (const Row& row : rows) CheckRow(row);
}

TEST(Language, Matches) {
  const Row rows[] = {
      {"match action a"},
      {"match reject"},
      {"match from any for any action a"},
      {"match from local for local action a"},
      {"match from src 192.0.2.1 for any action a"},
      {"match from src <nets> for any action a"},
      {"match from src { 192.0.2.0, \"2001:db8::/32\", \"local\" } for any action a"},
      {"match from src regex \"^192\" for any action a"},
      {"match from socket for any action a"},
      {"match from rdns for any action a"},
      {"match from rdns \"*.a.tld\" for any action a"},
      {"match from rdns regex <list> for any action a"},
      {"match from auth for any action a"},
      {"match from auth <list> for any action a"},
      {"match from auth regex <list> for any action a"},
      {"match from mail-from \"@a.tld\" for any action a"},
      {"match from mail-from regex \"x\" for any action a"},
      {"match for domain a.tld action a"},
      {"match for domain <list> action a"},
      {"match for domain { a.tld, \"*.a.tld\" } reject"},
      {"match for domain regex \"x\" reject"},
      {"match for rcpt-to \"u@a.tld\" reject"},
      {"match for rcpt-to regex <list> reject"},
      {"match auth for any action a"},
      {"match auth from any for any action a"},
      {"match from any auth for any action a"},
      {"match for any auth <map> helo mx.a.tld mail-from \"x@y\" rcpt-to \"@\" tag T tls action a"},
      {"match for any helo regex \"x\" tag regex \"y\" action a"},
      {"match !from local !for local !auth !tag T !tls !helo x !mail-from y !rcpt-to z reject"},
      {"match ! from local for any action a"},
      {"match !from auth <list> !for rcpt-to <list> reject"},
      {"match for any action nope", "22|no such action: nope"},
      {"match for any", "14|action or reject"},
      {"match for any action a b", "24|the end of the line"},
      {"match from any from local action a", "16|from already specified for this rule"},
      {"match for any for local action a", "15|for already specified for this rule"},
      {"match from auth auth for any action a", "17|auth already specified for this rule"},
      {"match from mail-from x mail-from y for any action a", "24|mail-from already specified"},
      {"match for rcpt-to x rcpt-to y action a", "21|rcpt-to already specified"},
      {"match tls tls for any action a", "11|tls already specified"},
      {"match from nowhere for any action a", "12|any, local, src"},
      {"match from src for any action a", "16|reserved word"},
      {"match from src \"192.0.2.0/33\" for any action a", "16|neither an address nor a network"},
      {"match for domain action a", "18|reserved word"},
      {"match for domain regex \"(\" action a", "24|no regular expression"},
      {"match for domain <map> action a", "18|may not be used for for domain lookups"},
      {"match tag <map> for any action a", "11|may not be used for tag lookups"},
      {"match helo <map> for any action a", "12|may not be used for helo lookups"},
      {"match for domain <nope> action a", "18|no such table: nope"},
      {"match tagged x for any action a", "7|did you mean \"tag\""},
  };
  for (const Row& row : rows) CheckRow(row);
}

TEST(Language, Filters) {
  const Row rows[] = {
      {"filter x phase connect match rdns disconnect \"550 no\""},
      {"filter x phase connect match !fcrdns reject \"421 later\""},
      {"filter x phase connect match rdns <list> junk"},
      {"filter x phase connect match rdns regex { \"a\", \"b\" } bypass"},
      {"filter x phase connect match src <nets> junk"},
      {"filter x phase helo match helo <list> junk"},
      {"filter x phase ehlo match helo regex \"x\" junk"},
      {"filter x phase auth match auth reject \"550 no\""},
      {"filter x phase mail-from match auth <list> rewrite \"x\""},
      {"filter x phase mail-from match mail-from regex \"x\" report \"y\""},
      {"filter x phase rcpt-to match !rcpt-to <map> reject \"550 no\""},
      {"filter x phase data match helo <list> junk"},
      {"filter x phase commit match src <nets> reject \"550 no\""},
      {"filter x proc pr"},
      {"filter x proc-exec \"cmd\" user u group g chroot \"/d\""},
      {"filter x proc-exec \"cmd\" timeout answer 5s content 10s start 1m user u timeout read 5s"},
      {"filter x proc-exec \"cmd\" timeout", "33|start, answer, content or read"},
      {"filter x proc-exec \"cmd\" timeout 5s", "34|start, answer, content or read"},
      {"filter x proc-exec \"cmd\" timeout answer 5", "41|invalid timeout answer: 5"},
      {"filter x proc-exec \"cmd\" timeout answer 5s answer 6s", "44|timeout answer already"},
      {"filter x proc-exec \"cmd\" timeout answer 5s users u", "44|user, group, chroot or timeout"},
      {"filter x milter \"inet:127.0.0.1:8891\""},
      {"filter x milter \"inet:[::1]:8891\" default accept"},
      {"filter x milter \"inet6:8891@::1\" default reject connect-timeout 5s"},
      {"filter x milter \"inet:8891@localhost\" command-timeout 10s content-timeout 2m"},
      {"filter x milter \"unix:/run/opendkim/opendkim.sock\" default tempfail"},
      {"filter x milter \"local:/run/x\""},
      {"filter x milter", "16|the socket of a milter"},
      {"filter x milter \"127.0.0.1:8891\"", "17|no socket of a milter: write"},
      {"filter x milter \"inet:127.0.0.1\"", "17|a host and a port are wanted"},
      {"filter x milter \"inet:127.0.0.1:0\"", "17|\"0\" is no port"},
      {"filter x milter \"inet:127.0.0.1:65536\"", "17|is no port"},
      {"filter x milter \"inet:mx.test:8891\"", "17|not by a name"},
      {"filter x milter \"inet6:127.0.0.1:8891\"", "17|inet6 wants an IPv6 address"},
      {"filter x milter \"unix:run/x\"", "17|begins with"},
      {"filter x milter \"unix:\"", "17|begins with"},
      {"filter x milter \"unix:/x\" defalt accept", "27|did you mean \"default\""},
      {"filter x milter \"unix:/x\" default drop", "35|accept, tempfail or reject"},
      {"filter x milter \"unix:/x\" default accept default reject", "42|default"},
      {"filter x milter \"unix:/x\" content-timeout 11m", "43|from 1s to 10m"},
      {"filter x milter \"unix:/x\" connect-timeout 0s", "43|"},
      {"filter x chain { f, g }"},
      {"filter x chain { f\n g }"},
      {"proc x \"cmd\" user u group g"},
      {"proc x \"cmd\" timeout read 10s"},
      {"filter f proc-exec \"x\"", "1|filter already exists"},
      {"proc pr \"x\"", "1|proc already exists"},
      {"filter x proc nope", "15|no proc declared"},
      {"filter x chain { }", "16|an empty filter chain"},
      {"filter x chain { f, f }", "21|listed twice"},
      {"filter x chain { nope }", "18|no filter with that name"},
      {"filter x phase data-line match rdns junk", "16|a phase"},
      {"filter x phase connect match helo <list> junk", "30|not available at phase connect"},
      {"filter x phase helo match auth junk", "27|not available at phase helo"},
      {"filter x phase ehlo match mail-from <list> junk", "27|not available at phase ehlo"},
      {"filter x phase data match rcpt-to <list> junk", "27|only at rcpt-to"},
      {"filter x phase commit match rdns junk", "34|junk"},
      {"filter x phase connect match rdns fcrdns junk", "35|only one condition"},
      {"filter x phase connect match junk", "30|a condition"},
      {"filter x phase connect match rdns", "34|a decision"},
      {"filter x phase connect match src <nope> junk", "34|no such table"},
      {"filter x phase quit match rdns junk", "16|a phase"},
  };
  for (const Row& row : rows) CheckRow(row);
}

TEST(Language, Settings) {
  const Row rows[] = {
      {"admd \"a.tld\""},
      {"bounce warn-interval 1h"},
      {"bounce warn-interval 1h, 4h, 1d, 2d"},
      {"queue ttl 4d"},
      {"queue compression"},
      {"queue encryption"},
      {"queue encryption stdin"},
      {"queue encryption \"-\""},
      {"queue encryption \"0123456789abcdef0123456789abcdef\""},
      {"queue encryption key \"0123456789abcdef0123456789abcdef\""},
      {"smtp limit max-mails 5 max-rcpt 6"},
      {"smtp max-message-size 35M"},
      {"smtp max-message-size 1000"},
      {"smtp max-message-size 1g"},
      {"smtp max-message-size 1.5M"},
      {"smtp sub-addr-delim \"+\""},
      {"smtp sub-addr-delim '-'"},
      {"srs key backup \"old\""},
      {"srs ttl 7d"},
      {"mta max-deferred 10"},
      {"mta limit max-conn-per-host 1 inet4 conn-delay-route 0"},
      {"mta limit for domain a.tld inet6"},
      {"mda limit max-session 3 max-session-per-user 1"},
      {"scheduler limit max-inflight 5 max-evp-batch-size 6 max-msg-batch-size 7 max-schedule 8"},
      {"include \"/inc\""},
      {"word = \"value\""},
      {"bounce warn-interval 1h, 2h, 3h, 4h, 5h", "38|4 delays at most"},
      {"bounce warn-interval 0h", "22|invalid bounce delay"},
      {"queue ttl 4", "11|invalid ttl delay"},
      {"queue nothing", "7|ttl, retry-delay"},
      {"smtp max-message-size 3X", "23|invalid size"},
      {"smtp max-message-size 1.5", "23|invalid size"},
      {"smtp max-message-size 0", "23|invalid size"},
      {"smtp sub-addr-delim \"++\"", "21|one character"},
      {"smtp sub-addr-delim \"@\"", "21|one character"},
      {"smtp sub-addr-delim \" \"", "21|one character"},
      {"smtp sub-addr-delim +", "21|put it in quotes"},
      {"smtp limit max-mails 0", "22|invalid max-mails"},
      {"smtp limit max-mail 5", "12|did you mean \"max-mails\""},
      {"srs ttl 12h", "9|1d to 1023d"},
      {"mta limit", "10|a limit"},
      {"mta limit max-conn-per-hots 1", "11|did you mean \"max-conn-per-host\""},
      {"mda wrapper w \"x\"", "1|already declared"},
      {"mda wrapper x \"%{nosuch}\"", "15|nosuch"},
      {"include \"/none\"", "9|no such file"},
      {"word = 5", "8|put it in quotes"},
      {"listen = \"x\"", "1|reserved word"},
  };
  for (const Row& row : rows) CheckRow(row);
}

TEST(Language, ReservedWords) {
  const std::string words =
      "action admd alias any auth auth-optional backup bounce bypass ca cert chain chroot ciphers "
      "commit compression connect data data-line dhe disconnect domain ehlo encryption expand-only "
      "fcrdns filter for forward-only from group helo helo-src host hostname hostnames include "
      "inet4 inet6 junk key limit listen lmtp local mail-from maildir mask-src masquerade match "
      "max-deferred max-message-size mbox mda mta mx no-dsn no-verify noop on phase pki port proc "
      "proc-exec protocols proxy-v2 queue quit rcpt-to rdns received-auth recipient regex reject "
      "relay report rewrite rset scheduler senders smtp smtp-in smtp-out smtps socket src srs "
      "sub-addr-delim table tag tagged tls tls-require ttl user userbase verify virtual "
      "warn-interval wrapper";
  size_t count = 0;
  for (const std::string_view word : SplitWords(words)) {
    EXPECT_TRUE(IsReservedWord(word)) << word;
    ++count;
    // Quoted it is a name like another.
    CheckRow({StrCat("table \"", word, "\" { x }").c_str(), word == "any" ? "7|already" : nullptr});
  }
  EXPECT_EQ(count, 101u);
  // Words of ours, and those that are not reserved there.
  for (const char* word : {"all", "egress", "lo0", "proto", "imap", "spool", "mailname", "resolver",
                           "zone", "timeout", "retry-delay", "reserve", "none", "auto", "Listen"})
    EXPECT_FALSE(IsReservedWord(word)) << word;
}

TEST(Language, Defaults) {
  MemoryLoader loader(
      "f", StrCat(kFront, "action m maildir\naction n maildir \"Mail/in\"\nlisten on lo0\n",
                  "listen on lo0 smtps pki p\nmatch action m\n"));
  const ParseResult result = Parse("f", loader);
  ASSERT_NE(result.config, nullptr) << result.diagnostics[0].ToString();
  const Config& config = *result.config;
  EXPECT_EQ(config.listeners[0].port, 25);
  EXPECT_EQ(config.listeners[1].port, 465);
  EXPECT_EQ(config.actions[1].maildir_path, "~/Maildir");
  EXPECT_EQ(config.actions[2].maildir_path, "~/Mail/in") << "in the home, as OpenSMTPD has it";
  EXPECT_EQ(config.rules[0].from_kind, FromKind::kLocal);
  EXPECT_EQ(config.rules[0].for_kind, ForKind::kLocal);
  EXPECT_EQ(config.queue.ttl, absl::Hours(96));
  EXPECT_EQ(config.bounce_warn_intervals, std::vector<Duration>{absl::Hours(4)});
  EXPECT_EQ(config.smtp.max_mails_per_session, 100);
  EXPECT_EQ(config.smtp.max_recipients, 1000);
  EXPECT_EQ(config.smtp.max_message_bytes, 35 << 20);
  EXPECT_EQ(config.smtp.sub_address_delimiter, '+');
  EXPECT_EQ(config.srs.ttl_days, 4);
  EXPECT_EQ(config.mta_max_deferred, 100);
  EXPECT_EQ(config.pkis[0].dhe, DheMode::kNone);
}

TEST(Language, SizesMayHaveAFraction) {
  for (const auto& [text, octets] :
       {std::pair("1.5M", int64_t{3} << 19), std::pair("0.5k", int64_t{512}),
        std::pair("2G", int64_t{2} << 30)}) {
    MemoryLoader loader("f", StrCat(kFront, "smtp max-message-size ", text, "\n", kTail));
    const ParseResult result = Parse("f", loader);
    ASSERT_NE(result.config, nullptr) << text;
    EXPECT_EQ(result.config->smtp.max_message_bytes, octets) << text;
  }
}

}  // namespace
}  // namespace postern::policy
