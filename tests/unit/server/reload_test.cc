// What a reload changes in a server that runs, and what it keeps.
#include "tests/unit/server/server_test.h"

#include "lib/core/queue/envelope.h"

namespace postern::server {
namespace {

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

// The main loop may not have come to close what one reload gave up when the next wants it again.
TEST_F(ReloadTest, APortThatWasJustGivenUpIsTakenBack) {
  StartFile();
  const std::string two = StrCat(kConfig, "listen on 192.0.2.1 port 26\n");
  const auto reload = [&](const std::string& text) {
    Put(text);
    policy::Diagnostics told;
    return server_->Reload(&told);
  };
  ASSERT_TRUE(reload(two).ok());
  ASSERT_TRUE(reload(kConfig).ok());
  Status again = reload(two);
  ASSERT_TRUE(again.ok()) << Text(again);
  simulation_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Greeting(26).substr(0, 4), "220 ");
  // Taken back for a configuration that is refused, it is given up again.
  auto taken = host_.world().network().Listen(host_.main_loop(),
                                              Endpoint{IpAddress::V4(192, 0, 2, 1), 27, ""}, {});
  ASSERT_TRUE(reload(kConfig).ok());
  EXPECT_FALSE(reload(StrCat(two, "listen on 192.0.2.1 port 27\n")).ok());
  simulation_.RunFor(absl::Seconds(1));
  EXPECT_EQ(Greeting(26), "");
  EXPECT_EQ(Greeting(25).substr(0, 4), "220 ");
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

// The action is gone when the server starts again, with another file; the mail goes by it still.
TEST_F(ReloadTest, QueuedMailKeepsItsActionOverARestart) {
  const auto put = [&](const std::string& path, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0644).ok());
  };
  const auto copies = [&] { return FilesIn("/spool/config"); };
  put("/relays", "# @list\nsmtp+notls://192.0.2.8:2525\n");
  put("/more", "table relays file:/relays\naction \"away\" relay host <relays>\n");
  StartFile(With("action \"away\" relay\n", "include \"/more\"\naction \"idle\" mbox\n"));
  EXPECT_EQ(copies(), 1u);
  EXPECT_EQ(Submit({"bob@elsewhere.example"}).reply.code, 250);
  simulation_.RunFor(absl::Seconds(30));
  Stop();
  put("/more", "");
  std::string without = kConfig;
  without = without.substr(0, without.find("action \"away\""));
  StrAppend(without, "match from any for domain \"example.org\" action \"here\"\n");
  StartFile(without);
  EXPECT_EQ(copies(), 2u);
  ASSERT_TRUE(Reload(StrCat("queue ttl 3d\n", without)).ok());
  EXPECT_EQ(copies(), 2u) << "the copy that has the action, and that of the file in force";
  Stop();
  StartFile(without);
  auto listener = *client_.world().network().Listen(
      client_.main_loop(), Endpoint{IpAddress::V4(192, 0, 2, 8), 2525, ""}, {});
  std::string heard;
  rt::TaskGroup tasks;
  tasks.Spawn(TakeOne(&client_.world(), listener.get(), &heard));
  simulation_.RunFor(absl::Hours(2));
  EXPECT_NE(heard.find("RCPT TO:<bob@elsewhere.example>"), std::string::npos) << heard;
  listener->Close();
  Stop();
  StartFile(without);
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(copies(), 1u) << "nothing waits for the action any more";
}

// One action cannot be loaded: the other's mail goes.
TEST_F(ReloadTest, AnActionThatCannotBeKeptKeepsNoOtherFromIt) {
  const auto put = [&](const std::string& path, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0644).ok());
  };
  put("/table", "elsewhere.example smtp+notls://192.0.2.8:2525\n");
  StartFile(With("action \"away\" relay\n",
                 "table t file:/table\naction \"other\" maildir \"/other\" userbase <accounts>\n"
                 "action \"away\" relay domain <t>\n"
                 "match for domain \"other.example\" action \"other\"\n"));
  EXPECT_EQ(Submit({"bob@elsewhere.example"}).reply.code, 250);
  // Its own account's mailbox cannot be written before the restart.
  put("/other", "a file");
  EXPECT_EQ(Submit({"alice@other.example"}).reply.code, 250);
  simulation_.RunFor(absl::Seconds(5));
  Stop();
  ASSERT_TRUE(host_.world().files().Unlink("/table").ok());
  ASSERT_TRUE(host_.world().files().Unlink("/other").ok());
  std::string without = kConfig;
  without = without.substr(0, without.find("action \"away\""));
  StartFile(StrCat(without, "match from any for domain \"example.org\" action \"here\"\n"));
  simulation_.RunFor(absl::Hours(1));
  EXPECT_EQ(FilesIn("/other/new"), 1u);
  const StatusOr<std::vector<queue::Envelope>> waiting = simulation_.Await(
      host_.main_loop(), server_->queue()->List(host_.main_loop(), store::ListRequest()));
  ASSERT_TRUE(waiting.ok());
  ASSERT_EQ(waiting->size(), 1u);
  EXPECT_EQ(waiting->front().action, "away");
}

TEST_F(ReloadTest, TheReserveAndTheIntervalsAreThoseOfTheNewFile) {
  StartFile();
  ASSERT_TRUE(Reload(StrCat("queue reserve 1E\n", kConfig)).ok());
  EXPECT_EQ(Submit({"alice@example.org"}).reply.code, 452);
  const std::string away = With("action \"away\" relay\n",
                                "action \"away\" relay host \"smtp+notls://192.0.2.8:2525\"\n");
  ASSERT_TRUE(Reload(StrCat("queue retry-delay 3h\nbounce warn-interval 2h\n", away)).ok());
  EXPECT_EQ(Submit({"bob@elsewhere.example"}).reply.code, 250);
  simulation_.RunFor(absl::Minutes(1));
  const StatusOr<std::vector<queue::Envelope>> waiting = simulation_.Await(
      host_.main_loop(), server_->queue()->List(host_.main_loop(), store::ListRequest()));
  ASSERT_TRUE(waiting.ok() && waiting->size() == 1);
  // By the interval of the warning, which comes before that of the next attempt.
  const Duration pause = waiting->front().next_attempt - waiting->front().created;
  EXPECT_GT(pause, absl::Minutes(115));
  EXPECT_LT(pause, absl::Minutes(125));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 0u);
  simulation_.RunFor(absl::Hours(2) + absl::Minutes(2));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u) << "the sender is told of the delay after two hours";
}

TEST_F(ReloadTest, TheZoneIsReadAnewAndAWrongOneLeavesTheOldConfigurationInForce) {
  StartFile();
  EXPECT_EQ(Submit({"someone@late.example"}).reply.code, 250);
  simulation_.RunFor(absl::Minutes(1));
  EXPECT_EQ(FilesIn("/mail/alice/new"), 1u) << "there is no late.example";
  const auto put_zone = [&](const std::string& path, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0644).ok());
  };
  put_zone("/zone", "late.example. A 192.0.2.8\n");
  auto listener = *client_.world().network().Listen(
      client_.main_loop(), Endpoint{IpAddress::V4(192, 0, 2, 8), 25, ""}, {});
  ASSERT_TRUE(Reload(kConfig).ok());
  EXPECT_EQ(Submit({"someone@late.example"}).reply.code, 250);
  auto accepted = listener->Accept(client_.main_loop());
  const StatusOr<std::unique_ptr<rt::Stream>> stream =
      simulation_.Await(client_.main_loop(), std::move(accepted));
  EXPECT_TRUE(stream.ok()) << "the server came to deliver it";
  if (stream.ok()) (*stream)->Close();
  listener->Close();
  put_zone("/wrong", "late.example. A 192.0.2.300\n");
  const Status refused = Reload(With("\"/zone\"", "\"/wrong\""));
  EXPECT_EQ(Text(refused).find("/conf:4:"), Text(refused).find("/conf:")) << Text(refused);
  EXPECT_NE(Text(refused).find("the old configuration stays in force"), std::string::npos)
      << Text(refused);
}

}  // namespace
}  // namespace postern::server
