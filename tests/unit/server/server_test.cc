// A whole server in the simulated world: from a configuration's text to mail in a Maildir.
#include "lib/server/server.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/server/mail_gate.h"

namespace postern::server {
namespace {

constexpr char kConfig[] = R"(
mailname "mx.example.org"
spool "/spool"
resolver zone "/zone"
table addresses { "alice@example.org" = "alice", "loop@example.org" = "loop@example.org" }
table accounts { alice = "0:0:/home/alice" }
listen on 192.0.2.1 port 25
action "here" maildir "/mail/%{user.username}" virtual <addresses> userbase <accounts>
action "away" relay
match from any for domain "example.org" action "here"
match for any action "away"
)";

class ServerTest : public ::testing::Test {
 protected:
  ServerTest() {
    EXPECT_TRUE(
        rt::WriteFileDurably(host_.world().files(), "/zone", "nowhere.example. MX 0 .\n", 0644)
            .ok());
  }
  void Start(const std::string& config = kConfig) {
    ServerOptions options;
    options.config_text = config;
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    ASSERT_NE(loaded.runtime, nullptr)
        << (loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].ToString());
    server_ = Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
    const Status started = simulation_.Await(host_.main_loop(), server_->Start());
    ASSERT_TRUE(started.ok()) << Text(started);
  }
  void TearDown() override {
    if (server_ != nullptr) simulation_.Await(host_.main_loop(), server_->Stop(absl::Seconds(1)));
    server_.reset();
  }
  SubmissionResult Submit(std::vector<std::string> recipients,
                          std::string sender = "alice@example.org") {
    Submission submission;
    submission.reverse_path = std::move(sender);
    submission.recipients = std::move(recipients);
    submission.content = "Subject: hello\n\nbody\n";
    return simulation_.Await(host_.main_loop(), server_->Submit(std::move(submission)));
  }
  size_t FilesIn(const std::string& path) {
    const StatusOr<std::vector<rt::DirectoryEntry>> found = host_.world().files().List(path);
    return found.ok() ? found->size() : 0;
  }

  rt::sim::Simulation simulation_{11};
  rt::sim::Host& host_ =
      simulation_.AddHost({.name = "mx.example.org", .addresses = {IpAddress::V4(192, 0, 2, 1)}});
  NullLogSink log_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, ASubmissionReachesItsMaildirOnce) {
  Start();
  const SubmissionResult result = Submit({"alice@example.org"});
  EXPECT_EQ(result.reply.code, 250) << result.reply.ToString() << Text(result.status);
  EXPECT_EQ(result.message_id.size(), 8u);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
}

TEST_F(ServerTest, BelowTheReserveNothingIsTaken) {
  Start(StrCat("queue reserve 1E\n", kConfig));
  EXPECT_EQ(Submit({"alice@example.org"}).status.code(), StatusCode::kResourceExhausted);
}

TEST_F(ServerTest, RefusalsAreTheRulesOwn) {
  Start();
  EXPECT_EQ(Submit({"nobody@example.org"}).reply.code, 524);
  EXPECT_EQ(Submit({"loop@example.org"}).reply.code, 524);
  EXPECT_EQ(Submit({"not an address"}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Submit({}).status.code(), StatusCode::kInvalidArgument);
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 0u);
}

TEST_F(ServerTest, MailThatNobodyTakesComesBackAsANotice) {
  Start();
  // RFC 7505: nowhere.example takes no mail at all.
  EXPECT_EQ(Submit({"someone@nowhere.example"}).reply.code, 250);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
  // A notice of a notice is never sent.
  EXPECT_EQ(Submit({"someone@nowhere.example"}, "").reply.code, 250);
  simulation_.RunFor(absl::Minutes(10));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u);
}

TEST_F(ServerTest, PortZeroIsAFreeOneEachTime) {
  std::string config = kConfig;
  config.replace(config.find("port 25"), 7, "port 0\nlisten on 192.0.2.1 port 0");
  Start(config);
  ASSERT_EQ(server_->endpoints().size(), 2u);
  EXPECT_NE(server_->endpoints()[0].port, 0);
  EXPECT_NE(server_->endpoints()[1].port, 0);
  EXPECT_NE(server_->endpoints()[0].port, server_->endpoints()[1].port);
}

TEST_F(ServerTest, TwoListenLinesForOneAddressAreTold) {
  for (const char* second : {"192.0.2.1", "0.0.0.0"}) {
    ServerOptions options;
    options.config_text = StrCat(kConfig, "listen on ", second, " port 25\n");
    const LoadedConfig loaded = LoadConfig(host_.world(), options);
    EXPECT_EQ(loaded.runtime, nullptr);
    ASSERT_EQ(loaded.diagnostics.size(), 1u);
    EXPECT_EQ(loaded.diagnostics[0].location.line, 12);
    EXPECT_NE(loaded.diagnostics[0].message.find("listen line at <text>:7:1"), std::string::npos)
        << loaded.diagnostics[0].message;
  }
}

TEST_F(ServerTest, AnAddressInUseIsToldWithItsLineAndNothingIsOpened) {
  auto taken = host_.world().network().Listen(host_.main_loop(),
                                              Endpoint{IpAddress::V4(192, 0, 2, 1), 25, ""}, {});
  ASSERT_TRUE(taken.ok());
  ServerOptions options;
  options.config_text = kConfig;
  LoadedConfig loaded = LoadConfig(host_.world(), options);
  ASSERT_NE(loaded.runtime, nullptr);
  const std::unique_ptr<Server> server =
      Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
  const Status started = simulation_.Await(host_.main_loop(), server->Start());
  EXPECT_EQ(started.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(Message(started).substr(0, 9), "<text>:7:") << Message(started);
  EXPECT_EQ(host_.world().files().Stat("/spool").status().code(), StatusCode::kNotFound);
}

// What Load says of `text`: "line:column message" each.
std::string Told(rt::sim::Host& host, const std::string& text) {
  ServerOptions options;
  options.config_text = text;
  std::string out;
  for (const policy::Diagnostic& each : LoadConfig(host.world(), options).diagnostics) {
    StrAppend(out, each.location.line, ":", each.location.column,
              each.severity == policy::Severity::kWarning ? " warning " : " ", each.message, "\n");
  }
  return out;
}

TEST_F(ServerTest, WhatTheFileNamesIsLookedForUsedOrNot) {
  host_.AddAccount({.name = "vmail", .uid = 7, .gid = 7, .groups = {}, .home = "/vmail"});
  const std::string told =
      Told(host_, StrCat("ca x cert \"/nonexist\"\n", kConfig,
                         "action one maildir user vmail\naction two maildir user nosuchuser\n"));
  EXPECT_EQ(told.find("1:6 certificate of ca \"x\": "), 0u) << told;
  EXPECT_NE(told.find("14:20 user \"nosuchuser\": no account"), std::string::npos) << told;
  EXPECT_EQ(told.find("vmail"), std::string::npos) << told;
}

// One mistake in the text does not hide what is wrong with the files.
TEST_F(ServerTest, EverythingIsToldAtOnce) {
  const std::string told =
      Told(host_,
           "lisen on lo0\npki p cert \"/none.crt\" key \"/none.key\"\n"
           "table t file:/none.table\naction a relay\nmatch for domain <t> action a\n"
           "listen on nowhere0 port 25\nfilter f proc-exec \"x\"\nadmd \"x.org\"\n");
  size_t at = 0;
  for (const char* each :
       {"1:1 syntax error: unknown directive", "2:7 certificate of pki", "2:24 key of pki",
        "3:7 cannot read /none.table", "6:1 \"nowhere0\" is no interface", "7:1 filter f",
        "8:1 warning admd has no effect"}) {
    const size_t found = told.find(each, at);
    EXPECT_NE(found, std::string::npos) << each << " in\n" << told;
    if (found != std::string::npos) at = found;
  }
}

TEST_F(ServerTest, AKeyThatEverybodyMayReadIsToldAsAWarning) {
  rt::Files& files = host_.world().files();
  for (const uint32_t mode : {0600u, 0640u, 0644u}) {
    const std::string path = StrCat("/key", mode);
    ASSERT_TRUE(rt::WriteFileDurably(files, path, "not a key", mode).ok());
    const std::string told =
        Told(host_, StrCat("pki p cert \"/none\" key \"", path, "\"\n", kConfig));
    EXPECT_EQ(told.find("warning key of pki \"p\": everybody") != std::string::npos, mode == 0644u)
        << told;
  }
}

// Only the last folder of the spool's path is made.
TEST_F(ServerTest, ASpoolWithoutParentIsTold) {
  const auto start = [this](const std::string& spool) {
    ServerOptions options;
    options.config_text = kConfig;
    options.spool_path = spool;
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    EXPECT_NE(loaded.runtime, nullptr);
    server_ = Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
    return simulation_.Await(host_.main_loop(), server_->Start());
  };
  const Status started = start("/nonexist/sp/");
  EXPECT_EQ(started.code(), StatusCode::kNotFound);
  EXPECT_NE(std::string(Message(started)).find("the folder /nonexist does not exist"),
            std::string::npos)
      << Message(started);
  EXPECT_EQ(host_.world().files().Stat("/nonexist").status().code(), StatusCode::kNotFound);
  server_.reset();
  EXPECT_TRUE(rt::MakeDirectories(host_.world().files(), "/exists", 0755).ok());
  EXPECT_TRUE(start("/exists/sp/").ok());
}

// `check` and a start see the same.
TEST_F(ServerTest, ASpoolThatCannotBeIsToldAtItsLine) {
  ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), "/file", "x", 0644).ok());
  ASSERT_TRUE(rt::MakeDirectories(host_.world().files(), "/there", 0755).ok());
  struct Row {
    const char* spool;
    const char* told;
  };
  for (const Row& row : {Row{"/nonexist/a/b", "the folder /nonexist/a does not exist"},
                         Row{"/file", "/file is no folder"}, Row{"/file/sp", "/file is no folder"},
                         Row{"/there", ""}, Row{"/there/sp/", ""}}) {
    std::string text = kConfig;
    text.replace(text.find("/spool"), 6, row.spool);
    const std::string told = Told(host_, text);
    if (*row.told == '\0') {
      EXPECT_EQ(told.find("spool"), std::string::npos) << told;
    } else {
      EXPECT_EQ(told.find(StrCat("3:7 spool \"", row.spool, "\": ", row.told)), 0u) << told;
    }
    ServerOptions elsewhere;
    elsewhere.config_text = text;
    elsewhere.spool_path = "/spool";
    EXPECT_NE(LoadConfig(host_.world(), elsewhere).runtime, nullptr) << row.spool;
  }
}

// Listen connects from `source` and keeps the connection; what the server says first goes to
// `heard`.
rt::Task<void> Listen(rt::World* world, Endpoint server, IpAddress source,
                      std::unique_ptr<rt::Stream>* stream, std::string* heard) {
  rt::ConnectOptions options;
  options.source = source;
  rt::Executor& loop = world->main_loop();
  StatusOr<std::unique_ptr<rt::Stream>> connected =
      co_await world->network().Connect(loop, server, options, Instant::Never());
  if (!connected.ok()) co_return;
  *stream = std::move(*connected);
  char buffer[512];
  while (heard->find('\n') == std::string::npos) {
    const StatusOr<size_t> got =
        co_await rt::ReadSome(**stream, std::span<char>(buffer), Instant::Never());
    if (!got.ok() || *got == 0) co_return;
    heard->append(buffer, *got);
  }
}

// HearAll connects and writes to `heard` all that the server says until it hangs up.
rt::Task<void> HearAll(rt::World* world, Endpoint server, std::string say, std::string* heard) {
  rt::Executor& loop = world->main_loop();
  rt::ConnectOptions options;
  StatusOr<std::unique_ptr<rt::Stream>> stream =
      co_await world->network().Connect(loop, server, options, Instant::Never());
  if (!stream.ok()) co_return;
  if (!say.empty()) {
    const Status said = co_await (*stream)->Write(say, Instant::Never());
    if (!said.ok()) co_return;
  }
  char buffer[512];
  for (;;) {
    const StatusOr<size_t> got =
        co_await rt::ReadSome(**stream, std::span<char>(buffer), Instant::Never());
    if (!got.ok() || *got == 0) co_return;
    heard->append(buffer, *got);
  }
}

// Reloads of a server whose configuration is the file /conf.
class ReloadTest : public ServerTest {
 protected:
  void StartFile() {
    Put(kConfig);
    ServerOptions options;
    options.config_path = "/conf";
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    ASSERT_NE(loaded.runtime, nullptr);
    server_ = Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
    ASSERT_TRUE(simulation_.Await(host_.main_loop(), server_->Start()).ok());
  }
  void Put(const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), "/conf", text, 0644).ok());
  }
  Status Reload(const std::string& text) {
    Put(text);
    policy::Diagnostics diagnostics;
    const Status reloaded = server_->Reload(&diagnostics);
    simulation_.RunFor(absl::Seconds(1));
    return reloaded;
  }
  // Greeting gives what a client hears first on `port`; "" when nobody listens.
  std::string Greeting(uint16_t port, std::unique_ptr<rt::Stream>* stream = nullptr) {
    std::unique_ptr<rt::Stream> own;
    std::string heard;
    rt::TaskGroup tasks;
    tasks.Spawn(Listen(&client_.world(), Endpoint{IpAddress::V4(192, 0, 2, 1), port, ""},
                       IpAddress::V4(192, 0, 2, 8), stream == nullptr ? &own : stream, &heard));
    simulation_.RunFor(absl::Seconds(2));
    if (own != nullptr) own->Close();
    simulation_.RunFor(absl::Seconds(1));
    return heard.substr(0, heard.find('\r'));
  }
  static std::string With(const char* from, const std::string& to) {
    std::string text = kConfig;
    text.replace(text.find(from), std::string_view(from).size(), to);
    return text;
  }

  rt::sim::Host& client_ =
      simulation_.AddHost({.name = "client.example", .addresses = {IpAddress::V4(192, 0, 2, 8)}});
};

TEST_F(ReloadTest, ListenersComeAndGoAndSessionsStay) {
  StartFile();
  std::unique_ptr<rt::Stream> session;
  EXPECT_EQ(Greeting(25, &session).substr(0, 4), "220 ");
  ASSERT_TRUE(
      Reload(StrCat(kConfig, "listen on 192.0.2.1 port 26 hostname two.example.org\n")).ok());
  EXPECT_EQ(Greeting(25).substr(0, 19), "220 mx.example.org ");
  EXPECT_EQ(Greeting(26).substr(0, 20), "220 two.example.org ");
  // The old port goes, its session does not.
  ASSERT_TRUE(Reload(With("port 25", "port 26")).ok());
  EXPECT_EQ(Greeting(25), "");
  EXPECT_EQ(Greeting(26).substr(0, 19), "220 mx.example.org ") << "the line's new options hold";
  ASSERT_NE(session, nullptr);
  const Status said = simulation_.Await(
      client_.main_loop(), session->Write("EHLO c.example\r\nMAIL FROM:<a@b.example>\r\n"
                                          "RCPT TO:<alice@example.org>\r\n",
                                          Instant::Never()));
  EXPECT_TRUE(said.ok());
  simulation_.RunFor(absl::Seconds(2));
  char buffer[4096];
  const StatusOr<size_t> got = session->TryRead(buffer);
  ASSERT_TRUE(got.ok());
  EXPECT_NE(std::string_view(buffer, *got).find("250 2.1.5"), std::string_view::npos)
      << std::string_view(buffer, *got);
  session->Close();
  // And back.
  ASSERT_TRUE(Reload(kConfig).ok());
  EXPECT_EQ(Greeting(25).substr(0, 4), "220 ");
  EXPECT_EQ(Greeting(26), "");
}

TEST_F(ReloadTest, AnAddressThatCannotBeOpenedLeavesTheOldConfigurationInForce) {
  StartFile();
  auto taken = host_.world().network().Listen(host_.main_loop(),
                                              Endpoint{IpAddress::V4(192, 0, 2, 1), 27, ""}, {});
  ASSERT_TRUE(taken.ok());
  const Status refused =
      Reload(StrCat(With("port 25", "port 26"), "listen on 192.0.2.1 port 27\n"));
  EXPECT_EQ(refused.code(), StatusCode::kAlreadyExists);
  EXPECT_EQ(std::string(Message(refused)).find("/conf:12:1: error: "), 0u) << Message(refused);
  EXPECT_NE(std::string(Message(refused)).find("stays in force"), std::string::npos);
  EXPECT_EQ(Greeting(25).substr(0, 4), "220 ");
  EXPECT_EQ(Greeting(26), "") << "what was opened for it is closed again";
  EXPECT_EQ(Reload("nonsense\n").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(Greeting(25).substr(0, 4), "220 ");
  // A wildcard of ours stands in the way of an address, and says so.
  ASSERT_TRUE(Reload(With("192.0.2.1 port 25", "0.0.0.0 port 2525")).ok());
  const Status ours = Reload(With("port 25", "port 2525"));
  EXPECT_NE(std::string(Message(ours)).find("this server listens on 0.0.0.0:2525"),
            std::string::npos)
      << Message(ours);
  EXPECT_EQ(Greeting(2525).substr(0, 4), "220 ");
}

TEST_F(ReloadTest, KeptPortsServeUnderTheNewOptions) {
  StartFile();
  ASSERT_TRUE(Reload(StrCat("smtp timeout command 7s\n",
                            With("port 25\n", "port 25 hostname new.example.org\n")))
                  .ok());
  std::unique_ptr<rt::Stream> idle;
  EXPECT_EQ(Greeting(25, &idle).substr(0, 20), "220 new.example.org ");
  simulation_.RunFor(absl::Seconds(8));
  char buffer[4096];
  const StatusOr<size_t> got = idle->TryRead(buffer);
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(std::string_view(buffer, 3), "421");
  idle->Close();
}

TEST_F(ReloadTest, TheNameAndLimitsHoldAndAnotherSpoolTakesARestart) {
  StartFile();
  std::string text = With("mailname \"mx.example.org\"", "mailname \"new.example.org\"");
  text.replace(text.find("/spool"), 6, "/other");
  Put(StrCat(text, "smtp limit max-errors 1\n"));
  policy::Diagnostics told;
  ASSERT_TRUE(server_->Reload(&told).ok());
  simulation_.RunFor(absl::Seconds(1));
  std::string text_told;
  for (const policy::Diagnostic& each : told) StrAppend(text_told, each.ToString(), "\n");
  EXPECT_NE(text_told.find("/conf:3:7: warning: spool \"/other\" takes a restart: until then the "
                           "queue stays in /spool\n"),
            std::string::npos)
      << text_told;
  std::unique_ptr<rt::Stream> session;
  EXPECT_EQ(Greeting(25, &session).substr(0, 20), "220 new.example.org ");
  const Status said =
      simulation_.Await(client_.main_loop(), session->Write("NONSENSE\r\n", Instant::Never()));
  EXPECT_TRUE(said.ok());
  simulation_.RunFor(absl::Seconds(1));
  char buffer[4096];
  const StatusOr<size_t> got = session->TryRead(buffer);
  ASSERT_TRUE(got.ok());
  EXPECT_NE(std::string_view(buffer, *got).find("\n421 "), std::string_view::npos);
  session->Close();
}

// Mail waits for a server that is down; its action goes with a reload; it arrives all the same.
TEST_F(ReloadTest, QueuedMailKeepsItsAction) {
  StartFile();
  const std::string away = With("action \"away\" relay\n",
                                "action \"away\" relay host \"smtp+notls://192.0.2.8:2525\"\n");
  ASSERT_TRUE(Reload(StrCat("queue retry-delay 10s\n", away)).ok());
  EXPECT_EQ(Submit({"bob@elsewhere.example"}).reply.code, 250);
  simulation_.RunFor(absl::Seconds(30));
  std::string without = kConfig;
  without = without.substr(0, without.find("action \"away\""));
  ASSERT_TRUE(
      Reload(StrCat(without, "match from any for domain \"example.org\" action \"here\"\n")).ok());
  auto listener = *client_.world().network().Listen(
      client_.main_loop(), Endpoint{IpAddress::V4(192, 0, 2, 8), 2525, ""}, {});
  auto accepted = listener->Accept(client_.main_loop());
  const StatusOr<std::unique_ptr<rt::Stream>> stream =
      simulation_.Await(client_.main_loop(), std::move(accepted));
  EXPECT_TRUE(stream.ok()) << "the server came to deliver it";
  if (stream.ok()) (*stream)->Close();
  listener->Close();
  simulation_.RunFor(absl::Seconds(2));
}

TEST_F(ServerTest, LimitsAndTimeoutsOfTheFileAreObeyed) {
  Start(StrCat("smtp timeout command 7s\nsmtp limit max-errors 2 max-command-line 512\n", kConfig));
  rt::sim::Host& client =
      simulation_.AddHost({.name = "client.example", .addresses = {IpAddress::V4(192, 0, 2, 8)}});
  const Endpoint server{IpAddress::V4(192, 0, 2, 1), 25, ""};
  rt::TaskGroup tasks;
  std::string idle;
  std::string erring;
  std::string talking;
  tasks.Spawn(HearAll(&client.world(), server, "", &idle));
  tasks.Spawn(HearAll(&client.world(), server, "WHAT\r\nWHAT\r\nWHAT\r\n", &erring));
  tasks.Spawn(
      HearAll(&client.world(), server, StrCat("NOOP ", std::string(600, 'x'), "\r\n"), &talking));
  simulation_.RunFor(absl::Seconds(6));
  EXPECT_EQ(idle.substr(0, 4), "220 ");
  EXPECT_EQ(idle.find("421"), std::string::npos) << idle;
  EXPECT_NE(erring.find("421 4.7.0"), std::string::npos) << erring;
  EXPECT_NE(talking.find("\n500 "), std::string::npos) << talking;
  simulation_.RunFor(absl::Seconds(3));
  EXPECT_NE(idle.find("421"), std::string::npos) << idle;
}

// A client may fill its share of the sessions; others are served. One customer's IPv6 network is
// one client.
TEST_F(ServerTest, AClientHasItsShareOfTheSessions) {
  const auto v6 = [](int n) { return *IpAddress::Parse(StrCat("2001:db8:2::", n)); };
  std::vector<IpAddress> addresses = {IpAddress::V4(192, 0, 2, 8), IpAddress::V4(192, 0, 2, 9),
                                      *IpAddress::Parse("2001:db8:3::1")};
  for (int n = 1; n <= 20; ++n) addresses.push_back(v6(n));
  rt::sim::Host& clients = simulation_.AddHost({.name = "clients.example", .addresses = addresses});
  rt::sim::Host& host = simulation_.AddHost(
      {.name = "mx6.example.org",
       .addresses = {IpAddress::V4(192, 0, 2, 6), *IpAddress::Parse("2001:db8:1::6")}});
  const std::string config =
      "mailname \"mx6.example.org\"\nresolver zone \"/zone\"\nspool \"/spool\"\nlisten on "
      "192.0.2.6 port 25\n"
      "listen on \"2001:db8:1::6\" port 25\naction out relay\nmatch for any action out\n";
  ASSERT_TRUE(rt::WriteFileDurably(host.world().files(), "/zone", "", 0644).ok());
  ServerOptions options;
  options.config_text = config;
  LoadedConfig loaded = LoadConfig(host.world(), options);
  ASSERT_NE(loaded.runtime, nullptr)
      << (loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].ToString());
  const std::unique_ptr<Server> server =
      Server::Create(&host.world(), std::move(options), std::move(loaded), &log_);
  ASSERT_TRUE(simulation_.Await(host.main_loop(), server->Start()).ok());

  rt::TaskGroup tasks;
  std::vector<std::unique_ptr<rt::Stream>> streams(300);
  size_t used = 0;
  const auto hear = [&](const IpAddress& source) {
    std::string heard;
    const IpAddress target =
        source.is_v6() ? *IpAddress::Parse("2001:db8:1::6") : IpAddress::V4(192, 0, 2, 6);
    tasks.Spawn(
        Listen(&clients.world(), Endpoint{target, 25, ""}, source, &streams[used++], &heard));
    simulation_.RunFor(absl::Seconds(1));
    return heard.substr(0, 9);
  };
  const size_t share = MailGateLimits().max_sessions_per_address;
  for (size_t i = 0; i < share; ++i)
    EXPECT_EQ(hear(IpAddress::V4(192, 0, 2, 8)).substr(0, 3), "220") << i;
  EXPECT_EQ(hear(IpAddress::V4(192, 0, 2, 8)), "421 4.7.0");
  EXPECT_EQ(hear(IpAddress::V4(192, 0, 2, 9)).substr(0, 3), "220");
  streams[0]->Close();
  simulation_.RunFor(absl::Seconds(5));
  EXPECT_EQ(hear(IpAddress::V4(192, 0, 2, 8)).substr(0, 3), "220");
  EXPECT_EQ(hear(IpAddress::V4(192, 0, 2, 8)), "421 4.7.0");
  for (size_t i = 0; i < share; ++i)
    EXPECT_EQ(hear(v6(static_cast<int>(i % 20) + 1)).substr(0, 3), "220") << i;
  EXPECT_EQ(hear(v6(1)), "421 4.7.0");
  EXPECT_EQ(hear(*IpAddress::Parse("2001:db8:3::1")).substr(0, 3), "220");

  for (std::unique_ptr<rt::Stream>& stream : streams) {
    if (stream != nullptr) stream->Close();
  }
  simulation_.Await(host.main_loop(), server->Stop(absl::Seconds(1)));
  simulation_.RunFor(absl::Seconds(5));
}

}  // namespace
}  // namespace postern::server
