#include "tests/dialog/imap_server_harness.h"

#include <array>
namespace postern::service {
namespace {

constexpr uint16_t kPort = 143;

rt::Task<StatusOr<std::unique_ptr<rt::Stream>>> NoHandshake(std::unique_ptr<rt::Stream> stream,
                                                            Instant) {
  co_return std::move(stream);
}

}  // namespace

ImapServerHarness::ImapServerHarness(Options options) : simulation_(options.seed) {
  server_ = &simulation_.AddHost(
      {.name = "imap.example.org", .addresses = {*IpAddress::Parse("192.0.2.2")}});
  client_host_ = &simulation_.AddHost(
      {.name = "client.example.org", .addresses = {*IpAddress::Parse("192.0.2.1")}});
  listener_ = std::make_shared<ImapListener>();
  listener_->options = std::make_shared<imap::ServerOptions>(options.session);
  listener_->accept_tls = NoHandshake;
  listener_->tls_from_start = options.tls;
  listener_->name = "192.0.2.2:143";
  service_ = std::make_unique<ImapService>(&server_->world(), &server_->main_loop(), this, &log_,
                                           options.service);
  port_ = std::move(*server_->world().network().Listen(
      server_->main_loop(), {*IpAddress::Parse("192.0.2.2"), kPort, ""}, {}));
  tasks_ = std::make_unique<rt::TaskGroup>();
}

ImapServerHarness::~ImapServerHarness() {
  for (size_t i = 0; i < clients_.size(); ++i) Disconnect(i);
  Stop();
  simulation_.RunFor(absl::Seconds(1));
  POSTERN_CHECK(tasks_->running() == 0);
  port_->Close();
  clients_.clear();
  service_.reset();
  accounts_.clear();
}

void ImapServerHarness::Stop() {
  if (stopped_) return;
  stopped_ = true;
  simulation_.Await(server_->main_loop(), service_->Stop(absl::Seconds(5)));
}

mailbox::MailStore& ImapServerHarness::AddUser(const std::string& user, const std::string& password,
                                               const mailbox::MemoryStoreOptions& store) {
  accounts_[user] = {password, mailbox::MakeMemoryStore(server_->world().clock(), store)};
  return *accounts_[user].store;
}

rt::Task<StatusOr<ImapLogin>> ImapServerHarness::Login(const ImapSessionFacts&, std::string user,
                                                       std::string password) {
  ImapLogin login;
  const auto at = accounts_.find(user);
  if (at != accounts_.end() && at->second.password == password) {
    login.store = at->second.store;
    login.user = user;
  }
  co_return login;
}

size_t ImapServerHarness::Connect() {
  rt::Executor& loop = client_host_->main_loop();
  auto client = std::make_unique<Client>();
  StatusOr<std::unique_ptr<rt::Stream>> opened = simulation_.Await(
      loop,
      client_host_->world().network().Connect(loop, {*IpAddress::Parse("192.0.2.2"), kPort, ""}, {},
                                              simulation_.now() + absl::Seconds(5)));
  POSTERN_CHECK(opened.ok());
  client->stream = std::move(*opened);
  StatusOr<std::unique_ptr<rt::Stream>> accepted =
      simulation_.Await(server_->main_loop(), port_->Accept(server_->main_loop()));
  POSTERN_CHECK(accepted.ok());
  Client* raw = client.get();
  simulation_.At(simulation_.now(), &loop, [this, raw] { tasks_->Spawn(ReadAll(raw)); });
  auto held = std::make_shared<std::unique_ptr<rt::Stream>>(std::move(*accepted));
  simulation_.At(simulation_.now(), &server_->main_loop(),
                 [this, held] { service_->Serve(std::move(*held), listener_); });
  clients_.push_back(std::move(client));
  simulation_.RunFor(absl::Seconds(1));
  return clients_.size() - 1;
}

rt::Task<void> ImapServerHarness::ReadAll(Client* client) {
  std::array<char, 16384> buffer;
  for (;;) {
    const StatusOr<size_t> got = co_await rt::ReadSome(*client->stream, buffer, Instant::Never());
    if (!got.ok() || *got == 0) break;
    client->received.append(buffer.data(), *got);
  }
  client->closed = true;
}

rt::Task<void> ImapServerHarness::WriteAll(Client* client, std::string octets) {
  const Status written = co_await client->stream->Write(octets, Instant::Never());
  (void)written;
}

void ImapServerHarness::Send(size_t client, std::string_view octets) {
  Client* raw = clients_[client].get();
  auto held = std::make_shared<std::string>(octets);
  simulation_.At(simulation_.now(), &client_host_->main_loop(),
                 [this, raw, held] { tasks_->Spawn(WriteAll(raw, *held)); });
  // Long enough for the network and the pool, shorter than any interval of the service.
  size_t before = 0;
  do {
    before = raw->received.size();
    simulation_.RunFor(absl::Milliseconds(400));
  } while (raw->received.size() != before);
}

std::string ImapServerHarness::Take(size_t client) {
  return std::exchange(clients_[client]->received, std::string());
}

void ImapServerHarness::Disconnect(size_t client) {
  Client* raw = clients_[client].get();
  simulation_.At(simulation_.now(), &client_host_->main_loop(), [raw] { raw->stream->Close(); });
  simulation_.RunFor(absl::Seconds(1));
}

}  // namespace postern::service
