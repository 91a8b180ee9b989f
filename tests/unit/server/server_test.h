// A whole server in the simulated world, for tests of it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/server/server.h"

namespace postern::server {

inline constexpr char kConfig[] = R"(
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
  void TearDown() override { Stop(); }
  void Stop() {
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

// Listen connects from `source` and keeps the connection; what the server says first goes to
// `heard`.
inline rt::Task<void> Listen(rt::World* world, Endpoint server, IpAddress source,
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

// TakeOne takes one connection and says yes to everything, for one message. `heard` gets what the
// client said.
inline rt::Task<void> TakeOne(rt::World* world, rt::Listener* listener, std::string* heard) {
  rt::Executor& loop = world->main_loop();
  StatusOr<std::unique_ptr<rt::Stream>> stream = co_await listener->Accept(loop);
  if (!stream.ok()) co_return;
  std::string reply = "220 there\r\n";
  char buffer[4096];
  bool in_text = false;
  for (;;) {
    const Status said = co_await (*stream)->Write(reply, Instant::Never());
    if (!said.ok()) co_return;
    const size_t from = heard->size();
    for (;;) {
      const StatusOr<size_t> got =
          co_await rt::ReadSome(**stream, std::span<char>(buffer), Instant::Never());
      if (!got.ok() || *got == 0) co_return;
      heard->append(buffer, *got);
      const std::string_view last = std::string_view(*heard).substr(from);
      if (in_text ? last.find("\r\n.\r\n") != std::string_view::npos : last.back() == '\n') break;
    }
    const std::string_view last = std::string_view(*heard).substr(from);
    in_text = !in_text && last.substr(0, 4) == "DATA";
    reply = in_text ? "354 go on\r\n" : "250 yes\r\n";
  }
}

// Reloads of a server whose configuration is the file /conf.
class ReloadTest : public ServerTest {
 protected:
  void StartFile(const std::string& text = kConfig) {
    Put(text);
    ServerOptions options;
    options.config_path = "/conf";
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    ASSERT_NE(loaded.runtime, nullptr)
        << (loaded.diagnostics.empty() ? "" : loaded.diagnostics[0].ToString());
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

}  // namespace postern::server
