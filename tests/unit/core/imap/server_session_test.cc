// Conversations with a ServerSession whose driver says yes to everything: each is played whole,
// octet by octet and in random cuts, and must come out the same.
#include "lib/core/imap/server_session.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern::imap {
namespace {

constexpr Instant kStart{1000};

// Player is a driver: user "joe" with password "secret" may log in, every command ends in OK and
// says so untagged.
class Player {
 public:
  explicit Player(const ServerOptions& options = {}, bool tls = true)
      : session(options, tls, kStart) {
    Run();
  }

  void Say(std::string_view octets) {
    while (!octets.empty()) {
      const size_t taken = session.Feed(octets, now);
      octets.remove_prefix(taken);
      Run();
      if (session.closed()) return;
    }
  }

  void Run() {
    for (;;) {
      const Event event = session.NextEvent(now);
      switch (event.kind) {
        case Event::Kind::kNeedInput: Drain(); return;
        case Event::Kind::kAwaitingDecision: FAIL() << "the driver answered everything";
        case Event::Kind::kClosed:
          Drain();
          said.append("(closed: ").append(event.reason).append(")\n");
          return;
        case Event::Kind::kSecret: break;
        case Event::Kind::kCredentials:
          session.Decide(event.credentials->authentication_id == "joe" &&
                                 event.credentials->password == "secret"
                             ? AuthDecision::kAccept
                             : AuthDecision::kReject,
                         now);
          break;
        case Event::Kind::kCommand:
          if (event.command->kind == CommandKind::kIdle) break;
          session.responses().Untagged(
              StrCat(event.command->uid ? "did UID " : "did ", RowOf(event.command->kind).name));
          session.Finish(Completion::Ok("done"));
          break;
        case Event::Kind::kIdleDone: session.Finish(Completion::Ok("idled")); break;
        case Event::Kind::kStartTls:
          Drain();
          said.append("(tls)\n");
          session.TlsStarted(now);
          break;
        case Event::Kind::kAppend: {
          const std::string& mailbox = std::get<AppendArguments>(event.command->arguments).mailbox;
          message.clear();
          AppendDecision decision;
          decision.accept = mailbox != "none";
          decision.refusal = Completion::NoCode("TRYCREATE", "No such mailbox");
          session.Decide(decision);
          break;
        }
        case Event::Kind::kAppendData: message.append(event.data); break;
        case Event::Kind::kAppendEnd:
          session.responses().Untagged(StrCat("message of ", message.size(), " octets"));
          session.Finish(Completion::Ok("appended"));
          break;
        case Event::Kind::kAppendAbort:
          Drain();
          said.append("(abort)\n");
          break;
      }
    }
  }

  void Drain() {
    for (char c : session.PendingOutput()) {
      if (c != '\r') said.push_back(c);
    }
    session.Wrote(session.PendingOutput().size());
  }

  Instant now = kStart;
  ServerSession session;
  std::string said;
  std::string message;
};

struct Dialog {
  std::string_view name;
  std::string said_by_client;
  std::string_view said_by_server;  // after the greeting; capabilities are left out as "[…]"
  bool tls = true;
};

// WithoutCapabilities makes transcripts short.
std::string WithoutCapabilities(std::string_view said) {
  std::string out(said);
  for (size_t at = 0; (at = out.find("[CAPABILITY ", at)) != std::string::npos; ++at) {
    out.replace(at, out.find(']', at) - at + 1, "[CAPS]");
  }
  return out;
}

std::string LoggedIn(std::string_view then) { return StrCat("1 LOGIN joe secret\r\n", then); }

std::vector<Dialog> Dialogs() {
  const std::string nul(1, '\0');
  return {
      {"any state", "a NOOP\r\nb CAPABILITY x\r\nc LOGOUT\r\nd NOOP\r\n",
       "a OK NOOP completed\nb BAD CAPABILITY: there is more than the command takes\n* BYE Logging "
       "out\nc OK LOGOUT "
       "completed\n(closed: logout)\n"},
      {"wrong state",
       StrCat("a SELECT x\r\nb FETCH 1 FLAGS\r\n",
              LoggedIn("c FETCH 1 FLAGS\r\nd LOGIN a b\r\ne STARTTLS\r\n")),
       "a BAD SELECT is not possible in this state\nb BAD FETCH is not possible in this state\n1 "
       "OK [CAPS] Logged in\n"
       "c BAD FETCH is not possible in this state\nd BAD LOGIN is not possible in this state\n"
       "e BAD STARTTLS is not possible in this state\n"},
      {"states follow SELECT and CLOSE",
       LoggedIn("a SELECT x\r\nb UID FETCH 1:* (FLAGS)\r\nc CLOSE\r\nd EXPUNGE\r\ne EXAMINE y\r\nf "
                "UNSELECT\r\n"),
       "1 OK [CAPS] Logged in\n* did SELECT\na OK done\n* did UID FETCH\nb OK done\n* did CLOSE\nc "
       "OK done\n"
       "d BAD EXPUNGE is not possible in this state\n* did EXAMINE\ne OK done\n* did UNSELECT\nf "
       "OK done\n"},
      {"tags",
       StrCat("NOOP\r\n\r\n+ NOOP\r\na+b NOOP\r\n", std::string(129, 't'), " NOOP\r\n",
              std::string(128, 't'), " NOOP\r\na\r\n"),
       "NOOP BAD The command is missing\n* BAD The tag is not well formed\n* BAD The tag is not "
       "well formed\n"
       "* BAD The tag is not well formed\n* BAD The tag is not well formed\n"
       "ttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt"
       "ttttttttttttttttttttttt"
       "tttttttttttttt OK NOOP completed\na BAD The command is missing\n"},
      {"unknown", "a FROB\r\nb UID NOOP\r\nc UID\r\n",
       "a BAD The command is unknown\nb BAD The command is unknown\nc BAD The command is "
       "unknown\n"},
      {"login with literals", "a LOGIN {3}\r\njoe {6+}\r\nsecret\r\n",
       "+ Ready for the literal\na OK [CAPS] Logged in\n"},
      {"login with quotes", "a LOGIN \"joe\" \"sec\\ret\"\r\n", "a OK [CAPS] Logged in\n"},
      {"three wrong passwords",
       "a LOGIN joe x\r\nb LOGIN joe y\r\nc LOGIN joe z\r\nd LOGIN joe secret\r\n",
       "a NO [AUTHENTICATIONFAILED] Wrong user name or password\nb NO [AUTHENTICATIONFAILED] Wrong "
       "user name or password\n"
       "c NO [AUTHENTICATIONFAILED] Wrong user name or password\n* BYE Too many failed logins\n"
       "(closed: too many failed logins)\n"},
      {"authenticate plain", "a AUTHENTICATE PLAIN\r\nAGpvZQBzZWNyZXQ=\r\n",
       "+ \na OK [CAPS] Logged in\n"},
      {"authenticate with initial response", "a AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=\r\n",
       "a OK [CAPS] Logged in\n"},
      {"authenticate cancelled", "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n",
       "+ \na BAD AUTHENTICATE was cancelled\nb OK NOOP completed\n"},
      {"authenticate otherwise", "a AUTHENTICATE KERBEROS_V4\r\n",
       "a NO [CANNOT] The mechanism is not supported\n"},
      {"no login before TLS", "a LOGIN joe secret\r\nb AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=\r\n",
       "a NO [PRIVACYREQUIRED] Start TLS first\nb NO [PRIVACYREQUIRED] Start TLS first\n", false},
      {"starttls", "a STARTTLS\r\n", "a OK Begin TLS negotiation now\n(tls)\n", false},
      {"idle", LoggedIn("a IDLE\r\nDONE\r\nb IDLE\r\nc NOOP\r\nd NOOP\r\n"),
       "1 OK [CAPS] Logged in\n+ idling\na OK idled\n+ idling\nb BAD DONE was expected\n* did "
       "NOOP\nd OK done\n"},
      {"append",
       LoggedIn(
           "a APPEND box (\\Seen) \" 1-Feb-2008 00:00:00 +0000\" {5}\r\nab\r\nc\r\nb NOOP\r\n"),
       "1 OK [CAPS] Logged in\n+ Ready for the message\n* message of 5 octets\na OK appended\n* "
       "did NOOP\nb OK done\n"},
      {"append without waiting", LoggedIn("a APPEND {3+}\r\nbox {5+}\r\nab\r\nc\r\n"),
       "1 OK [CAPS] Logged in\n* message of 5 octets\na OK appended\n"},
      {"append refused",
       LoggedIn("a APPEND none {5}\r\nb APPEND none {18+}\r\nc DELETE INBOX\r\n\r\n\r\nd NOOP\r\n"),
       "1 OK [CAPS] Logged in\na NO [TRYCREATE] No such mailbox\nb NO [TRYCREATE] No such "
       "mailbox\n* did NOOP\nd OK done\n"},
      {"append of two", LoggedIn("a APPEND box {1+}\r\nx {1}\r\nb NOOP\r\n"),
       "1 OK [CAPS] Logged in\na BAD APPEND takes one message\n(abort)\n* did NOOP\nb OK done\n"},
      {"append of nothing", LoggedIn("a APPEND box {0}\r\nb APPEND box {0+}\r\n\r\nc NOOP\r\n"),
       "1 OK [CAPS] Logged in\na NO The message is empty\nb NO The message is empty\n* did NOOP\nc "
       "OK done\n"},
      {"append without a message", LoggedIn("a APPEND box\r\nb APPEND box \"quoted\"\r\n"),
       "1 OK [CAPS] Logged in\na BAD APPEND: the message is missing\nb BAD APPEND: the date is not "
       "well formed\n"},
      {"append too large",
       LoggedIn("a APPEND box {9999999999}\r\nb NOOP\r\nc APPEND box {9999999999+}\r\n"),
       "1 OK [CAPS] Logged in\na NO [TOOBIG] Message too large\n* did NOOP\nb OK done\n* BYE "
       "[TOOBIG] Message too large\n"
       "(closed: message too large)\n"},
      {"nul in a line", StrCat("a NO", nul, "OP\r\nb NOOP\r\n"),
       "a BAD NUL or CR inside a command\nb OK NOOP completed\n"},
      {"nul in a literal", StrCat("a LOGIN {3+}\r\nj", nul, "e x\r\nb NOOP\r\n"),
       "a BAD NUL or CR inside a command\nb OK NOOP completed\n"},
      {"bare cr", "a NO\rOP\r\nb NOOP\r\n",
       "a BAD NUL or CR inside a command\nb OK NOOP completed\n"},
      {"lf alone ends a line", "a NOOP\nb NOOP\n", "a OK NOOP completed\nb OK NOOP completed\n"},
      {"two gigabytes before login", "a LOGIN {2147483648}\r\n",
       "* BYE [TOOBIG] Literal too large\n(closed: literal too large)\n"},
      {"many literals before login",
       StrCat("a LOGIN {4000+}\r\n", std::string(4000, 'x'), " {4000+}\r\n", std::string(4000, 'x'),
              " {4000+}\r\n", std::string(4000, 'x'), "\r\n"),
       "* BYE [TOOBIG] Literal too large\n(closed: literal too large)\n"},
      {"long line before login", StrCat(std::string(9000, 'x'), "\r\n"),
       "* BYE Command too long\n(closed: command too long)\n"},
      {"long line after login",
       LoggedIn(StrCat("a NOOP ", std::string(70000, 'x'), "\r\nb NOOP\r\n")),
       "1 OK [CAPS] Logged in\na BAD Command too long\n* did NOOP\nb OK done\n"},
      {"long line with a literal behind it",
       LoggedIn(StrCat("a NOOP ", std::string(70000, 'x'), " {9+}\r\nb NOOP xx\r\n")),
       "1 OK [CAPS] Logged in\n* BYE Command too long\n(closed: command too long)\n"},
      // The octets over the bound begin between "{" and "}": they are a literal all the same.
      {"long line, cut inside its literal",
       LoggedIn(StrCat("a NOOP ", std::string(65536 - 9, 'x'), " {9+}\r\nb NOOP xx\r\n")),
       "1 OK [CAPS] Logged in\n* BYE Command too long\n(closed: command too long)\n"},
      {"line without end before login", std::string(1 << 20, 'x'),
       "* BYE A command line does not end\n(closed: a line without end)\n"},
      {"line of NULs without end", std::string(1 << 20, '\0'),
       "* BYE A command line does not end\n(closed: a line without end)\n"},
      {"line without end before login, with a tag", "a LOGIN joe " + std::string(1 << 20, 'x'),
       "a BAD Command too long\n* BYE A command line does not end\n"
       "(closed: a line without end)\n"},
      {"line without end after login", LoggedIn("a7 NOOP " + std::string(1 << 20, 'x')),
       "1 OK [CAPS] Logged in\na7 BAD Command too long\n* BYE A command line does not end\n"
       "(closed: a line without end)\n"},
      {"line of NULs without end after login", LoggedIn("a7" + std::string(1 << 20, '\0')),
       "1 OK [CAPS] Logged in\n* BYE A command line does not end\n"
       "(closed: a line without end)\n"},
      {"line without end in AUTHENTICATE", "a AUTHENTICATE PLAIN\r\n" + std::string(1 << 20, 'A'),
       "+ \na BAD Command too long\n* BYE A command line does not end\n"
       "(closed: a line without end)\n"},
      {"line without end in IDLE", LoggedIn("a IDLE\r\n" + std::string(1 << 20, 'D')),
       "1 OK [CAPS] Logged in\n+ idling\na BAD Command too long\n"
       "* BYE A command line does not end\n(closed: a line without end)\n"},
      {"line without end behind a message",
       LoggedIn("a APPEND box {1+}\r\nx" + std::string(1 << 20, ' ')),
       "1 OK [CAPS] Logged in\na BAD Command too long\n* BYE A command line does not end\n"
       "(closed: a line without end)\n"},
      {"literal too large after login",
       LoggedIn("a SELECT {70000}\r\nb NOOP\r\nc SELECT {70000+}\r\nd NOOP\r\n"),
       "1 OK [CAPS] Logged in\na BAD Literal too large\n* did NOOP\nb OK done\n* BYE [TOOBIG] "
       "Literal too large\n"
       "(closed: literal too large)\n"},
      {"http", "POST / HTTP/1.1\r\nHost: x\r\n\r\na LOGIN joe secret\r\n",
       "* BYE This is not a web server\n(closed: HTTP request)\n"},
      {"tls on a plain port", "\x16\x03\x01\x02\x05\n",
       "* BYE This port does not speak TLS from the start\n(closed: TLS on a plain port)\n", false},
      {"id", "a ID NIL\r\nb ID (\"name\" \"x\" \"version\" NIL)\r\nc ID x\r\n",
       "* ID (\"name\" \"Postern\")\na OK ID completed\n* ID (\"name\" \"Postern\")\nb OK ID "
       "completed\n"
       "c BAD ID: NIL or a list was expected\n"},
      {"enable", LoggedIn("a ENABLE X-FOO\r\n"),
       "1 OK [CAPS] Logged in\n* ENABLED\na OK ENABLE completed\n"},
      {"store and copy",
       LoggedIn(
           "a SELECT x\r\nb STORE 1 +FLAGS (\\Seen $Junk)\r\nc STORE 1 FLAGS \\Seen \\Draft\r\n"
           "d STORE 1 FLAGS (\\Recent)\r\ne UID COPY 1:* box\r\nf STORE 1 FLAGS\r\n"),
       "1 OK [CAPS] Logged in\n* did SELECT\na OK done\n* did STORE\nb OK done\n* did STORE\nc OK "
       "done\n"
       "d BAD STORE: a flag is not one that a client may set\n* did UID COPY\ne OK done\nf BAD "
       "STORE: an argument is missing\n"},
  };
}

std::string Play(const Dialog& dialog, const std::function<size_t()>& piece) {
  Player player({}, dialog.tls);
  player.said.clear();
  std::string_view rest = dialog.said_by_client;
  while (!rest.empty() && !player.session.closed()) {
    const std::string_view cut = rest.substr(0, piece());
    rest.remove_prefix(cut.size());
    player.Say(cut);
  }
  return WithoutCapabilities(player.said);
}

TEST(ServerSession, Dialogs) {
  std::mt19937 random(7);
  for (const Dialog& dialog : Dialogs()) {
    EXPECT_EQ(Play(dialog, [] { return SIZE_MAX; }), dialog.said_by_server)
        << dialog.name << ", whole";
    EXPECT_EQ(Play(dialog, [] { return 1; }), dialog.said_by_server)
        << dialog.name << ", octet by octet";
    for (int i = 0; i < 5; ++i) {
      EXPECT_EQ(Play(dialog, [&random] { return 1 + random() % 40; }), dialog.said_by_server)
          << dialog.name << ", cut";
    }
  }
}

TEST(ServerSession, GreetsWithWhatItCanDo) {
  EXPECT_EQ(Player({}, false).said,
            "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS LOGINDISABLED] localhost "
            "Postern ready\n");
  EXPECT_EQ(Player({}, true).said,
            "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN] localhost Postern ready\n");
}

// RFC 3501 §6.2.1 and CVE-2011-0411, CVE-2021-33515: what stands behind STARTTLS in the same
// segment is never obeyed, however it is cut, and neither is half a line of it.
TEST(ServerSession, NothingSaidBeforeTlsIsObeyedAfterIt) {
  const std::string injected = "x LOGIN joe secret\r\ny NOOP\r\nz LOG";
  for (size_t cut = 0; cut <= injected.size(); ++cut) {
    ServerSession session({}, false, kStart);
    session.Wrote(session.PendingOutput().size());
    session.Feed("a STARTTLS\r\n" + injected.substr(0, cut), kStart);
    EXPECT_EQ(session.NextEvent(kStart).kind, Event::Kind::kStartTls);
    EXPECT_EQ(session.Feed(injected.substr(cut), kStart), injected.size() - cut);
    EXPECT_EQ(session.NextEvent(kStart).kind, Event::Kind::kAwaitingDecision);
    session.Wrote(session.PendingOutput().size());
    session.TlsStarted(kStart);
    EXPECT_EQ(session.NextEvent(kStart).kind, Event::Kind::kNeedInput);
    EXPECT_EQ(session.PendingOutput(), "");
    session.Feed("b CAPABILITY\r\n", kStart);
    EXPECT_EQ(session.NextEvent(kStart).kind, Event::Kind::kNeedInput);
    EXPECT_EQ(
        session.PendingOutput(),
        "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN\r\nb OK CAPABILITY completed\r\n");
  }
}

TEST(ServerSession, SilenceEndsIt) {
  Player player;
  EXPECT_EQ(player.session.NextDeadline(), kStart + absl::Seconds(60));
  // Octets that are no login do not put it off.
  player.now = kStart + absl::Seconds(59);
  player.Say("a NOOP\r\n");
  player.session.OnDeadline(player.now);
  EXPECT_FALSE(player.session.closed());
  player.Say("b LOGIN joe secret\r\n");
  EXPECT_EQ(player.session.NextDeadline(), player.now + absl::Minutes(30));
  player.now = player.now + absl::Minutes(29);
  player.Say("c IDLE\r\n");
  EXPECT_EQ(player.session.NextDeadline(), player.now + absl::Minutes(30));
  player.said.clear();
  player.now = player.now + absl::Minutes(30);
  player.session.OnDeadline(player.now);
  player.Run();
  EXPECT_EQ(player.said, "* BYE Autologout; idle for too long\n(closed: idle for too long)\n");
}

TEST(ServerSession, ManyBadCommandsEndIt) {
  Player player;
  for (int i = 0; i < 19; ++i) player.Say("a FROB\r\n");
  EXPECT_FALSE(player.session.closed());
  player.Say("a FROB\r\n");
  EXPECT_TRUE(player.session.closed());
}

TEST(ServerSession, ALineWithoutEndIsCutAtItsBound) {
  struct Case {
    bool logged_in;
    size_t octets;
  };
  const ServerOptions defaults;
  for (const Case& c : {Case{false, defaults.command_limit_before_login_bytes +
                                        defaults.discard_limit_before_login_bytes},
                        Case{true, defaults.command_limit_bytes + defaults.discard_limit_bytes}}) {
    Player player;
    if (c.logged_in) player.Say("a LOGIN joe secret\r\n");
    player.Say(std::string(c.octets, 'x'));
    EXPECT_FALSE(player.session.closed());
    player.Say("x");
    EXPECT_TRUE(player.session.closed());
  }
}

TEST(ServerSession, InputIsBounded) {
  ServerSession session({}, true, kStart);
  const std::string much(1 << 20, 'x');
  EXPECT_EQ(session.Feed(much, kStart), size_t{32 * 1024});
  EXPECT_EQ(session.Feed(much, kStart), 0u);
}

TEST(ServerSession, UntaggedExpungeIsAllowedWhereNumbersAreNotOnTheirWay) {
  Command command;
  for (const CommandKind kind : {CommandKind::kFetch, CommandKind::kStore, CommandKind::kSearch}) {
    command.kind = kind;
    command.uid = false;
    EXPECT_FALSE(AllowsExpunge(command));
    command.uid = true;
    EXPECT_TRUE(AllowsExpunge(command));
  }
  command.kind = CommandKind::kNoop;
  command.uid = false;
  EXPECT_TRUE(AllowsExpunge(command));
}

}  // namespace
}  // namespace postern::imap
