// A whole server in the simulated world as clients meet it: what it answers, and what it delivers.
#pragma once

#include "tests/unit/text_log.h"
#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/rt/sim/host.h"
#include "lib/rt/sim/simulation.h"
#include "lib/rt/tls/tls_stream.h"
#include "lib/server/server.h"

namespace postern::server {

// Client is how a client of a test comes.
struct Client {
  IpAddress source = IpAddress::V4(192, 0, 2, 8);
  uint16_t port = 25;
  std::string first;  // said before anything else, in the clear
  std::shared_ptr<const tls::ClientConfig> tls;
  std::string script;
  IpAddress server = IpAddress::V4(192, 0, 2, 1);
};

// Talk says `client`'s script at once, and writes to `heard` all that the server says until it
// hangs up.
inline rt::Task<void> Talk(rt::World* world, Client client, std::string* heard) {
  rt::Executor& loop = world->main_loop();
  rt::ConnectOptions options;
  options.source = client.source;
  const Endpoint server{client.server, client.port, ""};
  StatusOr<std::unique_ptr<rt::Stream>> stream =
      co_await world->network().Connect(loop, server, options, Instant::Never());
  if (!stream.ok()) co_return;
  if (!client.first.empty()) {
    const Status said = co_await (*stream)->Write(client.first, Instant::Never());
    if (!said.ok()) co_return;
  }
  if (client.tls != nullptr) {
    const WallTime now = world->clock().WallNow();
    const Instant deadline = loop.Now() + absl::Seconds(20);
    StatusOr<std::unique_ptr<rt::Stream>> secured =
        co_await rt::TlsConnect(std::move(*stream), client.tls, "mx.example.org", now, deadline);
    if (!secured.ok()) {
      *heard = StrCat("TLS: ", Message(secured.status()));
      co_return;
    }
    stream = std::move(secured);
  }
  if (!client.script.empty()) {
    const Status said = co_await (*stream)->Write(client.script, Instant::Never());
    if (!said.ok()) co_return;
  }
  char buffer[4096];
  for (;;) {
    const StatusOr<size_t> got =
        co_await rt::ReadSome(**stream, std::span<char>(buffer), Instant::Never());
    if (!got.ok()) StrAppend(*heard, "[", Message(got.status()), "]");
    if (!got.ok() || *got == 0) break;
    heard->append(buffer, *got);
  }
  (*stream)->Close();
}

class SessionTest : public ::testing::Test {
 protected:
  void Put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(rt::WriteFileDurably(host_.world().files(), path, text, 0600).ok());
  }
  // Run starts a server with this configuration.
  void Run(std::string config, service::FilterFunctions step = {}) {
    ServerOptions options;
    options.config_text = std::move(config);
    options.hooks.step = std::move(step);
    LoadedConfig loaded = LoadConfig(host_.world(), options);
    std::string told;
    for (const policy::Diagnostic& each : loaded.diagnostics)
      StrAppend(told, each.ToString(), "\n");
    ASSERT_NE(loaded.runtime, nullptr) << told;
    server_ = Server::Create(&host_.world(), std::move(options), std::move(loaded), &log_);
    const Status started = simulation_.Await(host_.main_loop(), server_->Start());
    ASSERT_TRUE(started.ok()) << Text(started);
  }
  void TearDown() override {
    if (server_ != nullptr) simulation_.Await(host_.main_loop(), server_->Stop(absl::Seconds(1)));
    server_.reset();
  }
  // Heard gives all that `client`, from one of our hosts, hears in `wait`.
  std::string Heard(rt::sim::Host& from, Client client, Duration wait) {
    std::string heard;
    rt::TaskGroup tasks;
    tasks.Spawn(Talk(&from.world(), std::move(client), &heard));
    simulation_.RunFor(wait);
    return heard;
  }
  // Delivered gives the text of alice's one message, which is then removed; "" when there is none.
  std::string Delivered() {
    rt::Files& files = host_.world().files();
    const StatusOr<std::vector<rt::DirectoryEntry>> found = files.List("/mail/alice/new");
    if (!found.ok() || found->size() != 1) return "";
    const std::string path = StrCat("/mail/alice/new/", (*found)[0].name);
    const StatusOr<std::string> text = rt::ReadFile(files, path, 1 << 20);
    (void)files.Unlink(path);
    return text.ok() ? *text : "";
  }

  rt::sim::Simulation simulation_{11};
  rt::sim::Host& host_ = simulation_.AddHost(
      {.name = "mx.example.org",
       .addresses = {IpAddress::V4(192, 0, 2, 1), IpAddress::V4(127, 0, 0, 1)}});
  rt::sim::Host& client_ =
      simulation_.AddHost({.name = "client.example",
                           .addresses = {IpAddress::V4(192, 0, 2, 7), IpAddress::V4(192, 0, 2, 8),
                                         IpAddress::V4(192, 0, 2, 9)}});
  TextLog log_;
  std::unique_ptr<Server> server_;
};

}  // namespace postern::server
