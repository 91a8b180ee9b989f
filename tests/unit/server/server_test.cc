// A whole server in the simulated world: from a configuration's text to mail in a Maildir.
#include "tests/unit/server/server_test.h"

#include "lib/server/mail_gate.h"

namespace postern::server {
namespace {

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

// One mistake in the text does not hide what is wrong with the files; what has no effect is told
// last.
TEST_F(ServerTest, EverythingIsToldAtOnce) {
  const std::string told =
      Told(host_,
           "lisen on lo0\npki p cert \"/none.crt\" key \"/none.key\"\n"
           "table t file:/none.table\naction a relay\nmatch for domain <t> action a\n"
           "listen on nowhere0 port 25\nfilter f phase connect match rdns junk\nadmd \"x.org\"\n");
  size_t at = 0;
  for (const char* each : {"1:1 syntax error: unknown directive", "2:7 certificate of pki",
                           "2:24 key of pki", "3:7 cannot read /none.table",
                           "6:1 \"nowhere0\" is no interface", "8:1 warning admd has no effect"}) {
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
  EXPECT_EQ(started.code(), StatusCode::kUnavailable);
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
