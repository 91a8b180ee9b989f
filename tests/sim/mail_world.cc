#include "tests/sim/mail_world.h"

#include "tests/unit/core/tls/make_certificate.h"
#include <algorithm>
#include <set>
#include <utility>

#include "lib/core/base/strings.h"

namespace postern::sim_test {
namespace {

using rt::Task;
using rt::sim::Host;

constexpr char kSpool[] = "/var/spool/postern";
constexpr char kZone[] =
    "$ORIGIN test.\n"
    "$TTL 300\n"
    "a IN MX 10 mx-a.test.\n"
    "b IN MX 10 mx-b.test.\n"
    "mx-a IN A 192.0.2.1\n"
    "mx-b IN A 192.0.2.2\n";
constexpr char kAddressA[] = "192.0.2.1";
constexpr char kAddressB[] = "192.0.2.2";
constexpr char kNobody[] = "nobody@b.test";
constexpr size_t kMaxMailBytes = 4 << 20;

std::string BoxName(uint64_t number) { return StrCat("box", number); }

}  // namespace

// --- MailServer ---

MailServer::MailServer(Host& host, const std::string& config, const store::QueueOptions& queue,
                       LogSink* log, std::string* health)
    : host_(host), world_(host.world()), log_(log), health_(health) {
  server::ServerOptions options;
  options.config_text = config;
  options.queue = queue;
  server::LoadedConfig loaded = server::LoadConfig(world_, options);
  if (loaded.runtime == nullptr) {
    *health_ = "the configuration is refused";
    for (const policy::Diagnostic& each : loaded.diagnostics)
      StrAppend(*health_, "; ", each.ToString());
    return;
  }
  server_ = server::Server::Create(&world_, options, std::move(loaded), log_);
  world_.main_loop().Post([this] {
    if (!stopping_) starting_.Spawn(Start());
  });
}

MailServer::~MailServer() = default;

Task<void> MailServer::Start() {
  const Status status = co_await server_->Start();
  started_ = status.ok();
  serving_ = started_;
  if (!started_ && host_.up() && health_->empty())
    *health_ = StrCat(host_.name(), " does not start: ", Text(status));
}

Task<void> MailServer::Stop() {
  stopping_ = true;
  co_await starting_.Join();
  serving_ = false;
  if (started_) co_await server_->Stop(absl::Seconds(1));
}

void MailWorldOptions::MakeBurst() {
  sessions = 12;
  messages_per_session = 1;
  large_every = 1;
  mailboxes = 6;
  relay_connections = 1;
}

// --- Transmission ---

std::string Transmission::Text(std::string_view eol) const {
  std::string text = StrCat("Subject: ", Name(), eol, "From: <sender@a.test>", eol, eol);
  // As many lines whatever ends them.
  for (size_t line = 0; line * 60 < body_bytes; ++line) {
    StrAppend(text, "line ", 1000000 + line, " of the long and quite tiresome message ", Name(),
              eol);
  }
  return StrCat(text, "end of ", Name(), eol);
}

// --- the client ---

// Caller is one SMTP connection of the client.
class MailWorld::Caller {
 public:
  explicit Caller(MailWorld& world) : world_(world), loop_(world.client_->main_loop()) {}

  // Deliver sends `mail` and notes its fate.
  Task<void> Deliver(Transmission* mail) {
    if (stream_ == nullptr) {
      const bool greeted = co_await Open();
      if (!greeted) {
        stream_.reset();
        co_return;
      }
    }
    const bool whole = co_await Transact(mail);
    if (!whole) stream_.reset();
  }

  void Hang() { stream_.reset(); }

 private:
  Instant Patience() { return loop_.Now() + absl::Seconds(90); }

  Task<bool> Open() {
    const std::optional<IpAddress> address = IpAddress::Parse(kAddressA);
    const Endpoint endpoint{*address, 25, ""};
    const rt::ConnectOptions options;
    const Instant deadline = Patience();
    StatusOr<std::unique_ptr<rt::Stream>> opened =
        co_await world_.client_->world().network().Connect(loop_, endpoint, options, deadline);
    if (!opened.ok()) co_return false;
    stream_ = std::move(*opened);
    unread_.clear();
    const int greeting = co_await Reply();
    if (greeting != 220) co_return false;
    std::string ehlo = "EHLO client.test\r\n";
    const int hello = co_await Say(std::move(ehlo));
    co_return hello == 250;
  }

  // Transact is one mail transaction; false when the connection is of no use any more.
  Task<bool> Transact(Transmission* mail) {
    std::string line = "MAIL FROM:<sender@a.test>\r\n";
    int code = co_await Say(std::move(line));
    if (code != 250) co_return Refused(code);
    for (const std::string& recipient : mail->recipients) {
      line = StrCat("RCPT TO:<", recipient, ">\r\n");
      code = co_await Say(std::move(line));
      if (code != 250) co_return Refused(code);
    }
    line = "DATA\r\n";
    code = co_await Say(std::move(line));
    if (code != 354) co_return Refused(code);
    const std::string text = mail->Text("\r\n");
    const Instant deadline = Patience();
    const Status sent = co_await stream_->Write(text, deadline);
    if (!sent.ok()) co_return false;
    // From here on the server may have it.
    mail->fate = Transmission::Fate::kAmbiguous;
    line = ".\r\n";
    code = co_await Say(std::move(line));
    if (code == 0) co_return false;
    ++world_.replies_[code];
    mail->fate = code == 250 ? Transmission::Fate::kAccepted : Transmission::Fate::kNothing;
    co_return code == 250;
  }

  bool Refused(int code) {
    if (code != 0) ++world_.replies_[code];
    return false;
  }

  Task<int> Say(std::string line) {
    const Instant deadline = Patience();
    const Status sent = co_await stream_->Write(line, deadline);
    if (!sent.ok()) co_return 0;
    const int code = co_await Reply();
    co_return code;
  }

  // Reply reads one reply and returns its code; 0 when none comes.
  Task<int> Reply() {
    for (;;) {
      const size_t end = unread_.find("\r\n");
      if (end != std::string::npos) {
        const std::string line = unread_.substr(0, end);
        unread_.erase(0, end + 2);
        if (line.size() > 3 && line[3] == '-') continue;
        co_return static_cast<int>(ParseUint(std::string_view(line).substr(0, 3)).value_or(0));
      }
      const Instant deadline = Patience();
      const StatusOr<size_t> got = co_await rt::ReadSome(*stream_, buffer_, deadline);
      if (!got.ok() || *got == 0) co_return 0;
      unread_.append(buffer_, *got);
    }
  }

  MailWorld& world_;
  rt::Executor& loop_;
  std::unique_ptr<rt::Stream> stream_;
  std::string unread_;
  char buffer_[1024];
};

Task<void> MailWorld::SendMany(uint64_t session) {
  rt::sim::SeededRandom random = run_.random().Fork(StrCat("session ", session));
  rt::Executor& loop = client_->main_loop();
  Caller caller(*this);
  for (uint64_t i = 0; i < options_.messages_per_session && !give_up_; ++i) {
    const uint64_t number = ++last_message_;
    std::vector<std::string> recipients;
    // One to a mailbox here, one to the next hop, one to two mailboxes, one to all.
    const uint64_t kind = number % 4;
    if (kind != 1) recipients.push_back("ann@a.test");
    if (kind >= 2) recipients.push_back("bob@a.test");
    if (kind == 1 || kind == 3) recipients.push_back("carol@b.test");
    if (options_.bounces && number % 2 == 0) recipients.push_back(kNobody);
    if (options_.mailboxes > 0)
      recipients.push_back(StrCat(BoxName(number % options_.mailboxes), "@a.test"));
    const size_t body_bytes =
        number % options_.large_every == 0 ? options_.large_body_bytes : random.Below(1500);
    for (uint64_t attempt = 1; !give_up_; ++attempt) {
      Transmission* const mail =
          transmissions_.emplace_back(std::make_unique<Transmission>()).get();
      mail->message = number;
      mail->attempt = attempt;
      mail->recipients = recipients;
      mail->body_bytes = body_bytes;
      co_await caller.Deliver(mail);
      if (mail->fate == Transmission::Fate::kAccepted) break;
      rt::Event never(&loop);
      const Instant later =
          loop.Now() + absl::Milliseconds(static_cast<int64_t>(200 + random.Below(3000)));
      co_await never.Wait(later);
    }
    if (random.Chance(0.5)) caller.Hang();
    rt::Event never(&loop);
    const Instant later = loop.Now() + options_.pause_max * random.Unit();
    co_await never.Wait(later);
  }
}

// --- the world ---

// Sink counts failed deliveries, and shows the log of a server to a person who follows a seed.
class MailWorld::Sink : public LogSink {
 public:
  Sink(rt::sim::Simulation& simulation, std::string who)
      : simulation_(simulation), who_(std::move(who)) {}
  void Write(const LogRecord& record) override {
    if (simulation_.tracing()) simulation_.Tell(StrCat(who_, " log: ", FormatLogRecord(record)));
    if (record.event != "delivery" || record.level != LogLevel::kWarning) return;
    for (const LogField& field : record.fields) {
      if (field.name == "evpid") most_ = std::max(most_, ++attempts_[field.value]);
    }
  }
  uint64_t most() const { return most_; }

 private:
  rt::sim::Simulation& simulation_;
  std::string who_;
  std::map<std::string, uint64_t> attempts_;  // that failed, by envelope
  uint64_t most_ = 0;
};

uint64_t MailWorld::failed_attempts() const { return std::max(log_a_->most(), log_b_->most()); }

MailWorld::MailWorld(Run& run, const MailWorldOptions& options) : run_(run), options_(options) {
  rt::sim::Simulation& simulation = run_.simulation();
  rt::sim::HostOptions host{.name = "mx-a.test", .addresses = {*IpAddress::Parse(kAddressA)}};
  host.disk.name_loss = options_.name_loss;
  host.disk.check_off_loop = true;
  a_ = &simulation.AddHost(host);
  host.name = "mx-b.test";
  host.addresses = {*IpAddress::Parse(kAddressB)};
  b_ = &simulation.AddHost(host);
  client_ =
      &simulation.AddHost({.name = "client.test", .addresses = {*IpAddress::Parse("192.0.2.9")}});
  log_a_ = std::make_unique<Sink>(simulation, "a");
  log_b_ = std::make_unique<Sink>(simulation, "b");
  Furnish(*a_);
  Furnish(*b_);
}

MailWorld::~MailWorld() {
  // A scenario that failed leaves by an exception: what still runs is stopped and waited for.
  give_up_ = true;
  if (keeper_a_) keeper_a_->Shutdown();
  if (keeper_b_) keeper_b_->Shutdown();
  run_.simulation().RunUntil([this] { return sending_.running() == 0; },
                             run_.simulation().now() + absl::Hours(2));
  POSTERN_CHECK(sending_.running() == 0);
}

void MailWorld::Furnish(Host& host) {
  rt::Files& files = host.disk().view();
  POSTERN_CHECK(rt::WriteFileDurably(files, "/zone", kZone, 0644).ok());
  POSTERN_CHECK(rt::MakeDirectories(files, "/home", 0755).ok());
  POSTERN_CHECK(rt::MakeDirectories(files, "/var/spool", 0755).ok());
  if (options_.tls) {
    const tls_test::Made made =
        tls_test::MakeCertificate({.common_name = host.name(), .dns_names = {host.name()}});
    POSTERN_CHECK(rt::WriteFileDurably(files, "/certificate", made.certificate_pem, 0644).ok());
    POSTERN_CHECK(rt::WriteFileDurably(files, "/key", made.key_pem, 0600).ok());
  }
  host.disk().SyncAll();
}

std::string MailWorld::ConfigOf(const std::string& domain, const std::string& address) const {
  const bool is_a = domain == "a.test";
  std::string config = StrCat("resolver zone \"/zone\"\n",  //
                              "mailname \"mx-", domain, "\"\n");
  const std::vector<std::string> users =
      is_a ? std::vector<std::string>{"sender", "ann", "bob"} : std::vector<std::string>{"carol"};
  std::string addresses;
  std::string accounts;
  const auto add = [&](const std::string& user) {
    const char* const comma = accounts.empty() ? "" : ", ";
    StrAppend(addresses, comma, "\"", user, "@", domain, "\" = ", user);
    StrAppend(accounts, comma, user, " = \"0:0:/home/", user, "\"");
  };
  for (const std::string& user : users) add(user);
  for (uint64_t box = 0; is_a && box < options_.mailboxes; ++box) add(BoxName(box));
  if (options_.relay_connections > 0)
    StrAppend(config, "mta limit max-conn-per-host ", options_.relay_connections, "\n");
  StrAppend(config, "table addresses { ", addresses, " }\n",                                    //
            "table accounts { ", accounts, " }\n",                                              //
            options_.tls ? "pki \"mx\" cert \"/certificate\"\npki \"mx\" key \"/key\"\n" : "",  //
            "listen on ", address, " port 25", options_.tls ? " tls pki \"mx\"\n" : "\n",       //
            "action keep maildir \"/home/%{user.username}/Maildir\" virtual <addresses> userbase "
            "<accounts>\n",
            "action away relay\n",                                       //
            "match from any for domain \"", domain, "\" action keep\n",  //
            "match from any for domain \"", is_a ? "b.test" : "a.test", "\" action away\n");
  return config;
}

void MailWorld::Boot() {
  Keeper::Options keeping;
  keeping.restart_delay_max = absl::Seconds(3);
  bool first = true;
  keeping.before_start = [this, first](Host& host) mutable {
    if (!std::exchange(first, false) && options_.before_restart) options_.before_restart(host);
  };
  keeper_a_ = std::make_unique<Keeper>(
      a_,
      [this](rt::World&) {
        return std::make_unique<MailServer>(*a_, ConfigOf("a.test", kAddressA), options_.queue,
                                            log_a_.get(), &broken_);
      },
      keeping);
  keeper_b_ = std::make_unique<Keeper>(
      b_,
      [this](rt::World&) {
        return std::make_unique<MailServer>(*b_, ConfigOf("b.test", kAddressB), options_.queue,
                                            log_b_.get(), &broken_);
      },
      keeping);
}

void MailWorld::AwaitService() {
  simulation().RunUntil(
      [this] { return server_a() && server_a()->serving() && server_b() && server_b()->serving(); },
      simulation().now() + absl::Minutes(1));
  run_.Require(broken_.empty(), broken_);
}

void MailWorld::Send() {
  for (uint64_t session = 0; session < options_.sessions; ++session) {
    client_->main_loop().Post([this, session] { sending_.Spawn(SendMany(session)); });
  }
  simulation().RunFor(absl::Milliseconds(1));
}

std::string MailWorld::QueueLeft(Host& host, MailServer* server) {
  if (server == nullptr || !server->serving() || !host.up())
    return StrCat(host.name(), " does not serve");
  const StatusOr<store::QueueCounts> counts =
      simulation().Await(host.main_loop(), server->queue()->Counts(host.main_loop()));
  if (!counts.ok()) return StrCat(host.name(), ": ", Text(counts.status()));
  if (counts->parked != 0)
    return StrCat(host.name(), " has parked ", counts->parked, " messages as damaged");
  if (counts->envelopes + counts->messages == 0) return {};
  return StrCat(counts->messages, " messages are left at ", host.name());
}

void MailWorld::Settle(Duration patience) {
  const Instant limit = simulation().now() + patience;
  std::string left;
  do {
    simulation().RunUntil([this] { return all_sent() || !broken_.empty(); }, limit);
    run_.Require(broken_.empty(), broken_);
    run_.Require(all_sent(), "the client cannot get rid of its mail");
    simulation().RunFor(absl::Seconds(5));
    left = QueueLeft(*a_, server_a());
    if (left.empty()) left = QueueLeft(*b_, server_b());
  } while (!left.empty() && simulation().now() < limit);
  run_.Require(left.empty(), left);
}

void MailWorld::Judge(uint64_t extra_copies) {
  keeper_a_->Shutdown();
  keeper_b_->Shutdown();
  run_.Require(broken_.empty(), broken_);
  std::vector<std::string> users = {"ann", "bob"};
  for (uint64_t box = 0; box < options_.mailboxes; ++box) users.push_back(BoxName(box));
  JudgeHost(*a_, users, 0);
  JudgeHost(*b_, {"carol"}, extra_copies);
  JudgeNotices();
  for (const auto& [code, count] : replies_) {
    run_.Require(code < 500, StrCat("a client was told ", code, ": it gives its mail up"));
  }
  // All are recipients of the same transaction: one has it if and only if the others have.
  std::map<std::string, uint64_t> ann;
  std::map<std::string, uint64_t> carol;
  ReadMaildir(*a_, "ann", &ann);
  ReadMaildir(*b_, "carol", &carol);
  if (options_.relay_connections > 0) {
    uint64_t extra = 0;
    for (const auto& [name, count] : carol) extra += count > 1 ? count - 1 : 0;
    const uint64_t most = extra_copies * options_.relay_connections;
    run_.Require(extra <= most, StrCat(extra, " copies too many were relayed, of at most ", most));
  }
  for (const std::unique_ptr<Transmission>& each : transmissions_) {
    const std::string name = each->Name();
    const auto has = [&each](const char* who) {
      return std::find(each->recipients.begin(), each->recipients.end(), who) !=
             each->recipients.end();
    };
    if (!has("ann@a.test") || !has("carol@b.test")) continue;
    run_.Require((ann[name] > 0) == (carol[name] > 0),
                 StrCat(name, " went to one recipient and not to the other"));
  }
}

void MailWorld::JudgeHost(Host& host, const std::vector<std::string>& users,
                          uint64_t extra_copies) {
  for (const std::string& user : users) {
    std::map<std::string, uint64_t> copies;
    ReadMaildir(host, user, &copies);
    for (const std::unique_ptr<Transmission>& each : transmissions_) {
      const bool meant =
          std::any_of(each->recipients.begin(), each->recipients.end(),
                      [&](const std::string& to) { return to.starts_with(StrCat(user, "@")); });
      const uint64_t least = meant && each->fate == Transmission::Fate::kAccepted ? 1 : 0;
      const uint64_t most =
          !meant || each->fate == Transmission::Fate::kNothing ? 0 : 1 + extra_copies;
      const uint64_t found = copies[each->Name()];
      run_.Require(found >= least,
                   StrCat(each->Name(), " got its 250 and ", user, " does not have it"));
      run_.Require(found <= most, StrCat(user, " has ", found, " copies of ", each->Name(),
                                         ", of at most ", most));
    }
  }
  rt::Files& files = host.disk().view();
  const StatusOr<std::vector<rt::DirectoryEntry>> homes = files.List("/home");
  run_.Require(homes.ok(), "the folder of homes is gone");
  for (const rt::DirectoryEntry& home : *homes) {
    const StatusOr<std::vector<rt::DirectoryEntry>> left =
        files.List(StrCat("/home/", home.name, "/Maildir/tmp"));
    if (left.ok())
      run_.Require(left->empty(), StrCat(left->size(), " files are left in tmp of ", home.name));
    if (std::find(users.begin(), users.end(), home.name) != users.end()) continue;
    const StatusOr<std::vector<rt::DirectoryEntry>> strange =
        files.List(StrCat("/home/", home.name, "/Maildir/new"));
    const bool notices_expected = home.name == "sender" && options_.bounces;
    run_.Require(!strange.ok() || strange->empty() || notices_expected,
                 StrCat(home.name, " got a notice of nothing"));
  }
  const StatusOr<std::vector<rt::DirectoryEntry>> bodies = files.List(StrCat(kSpool, "/bodies"));
  run_.Require(!bodies.ok() || bodies->empty(),
               StrCat("files of messages that are gone are left at ", host.name()));
}

void MailWorld::JudgeNotices() {
  std::map<std::string, uint64_t> notices;
  rt::Files& files = a_->disk().view();
  const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List("/home/sender/Maildir/new");
  if (entries.ok()) {
    for (const rt::DirectoryEntry& entry : *entries) {
      const StatusOr<std::string> text =
          rt::ReadFile(files, StrCat("/home/sender/Maildir/new/", entry.name), kMaxMailBytes);
      run_.Require(text.ok() && text->find(kNobody) != std::string::npos,
                   StrCat(entry.name, " is a wrong or torn notice"));
      const size_t at = text->find("\nSubject: m");
      run_.Require(at != std::string::npos, StrCat(entry.name, " does not say what came back"));
      ++notices[text->substr(at + 10, text->find('\n', at + 1) - at - 10)];
    }
  }
  for (const std::unique_ptr<Transmission>& each : transmissions_) {
    const bool returns = std::find(each->recipients.begin(), each->recipients.end(), kNobody) !=
                         each->recipients.end();
    const uint64_t found = notices[each->Name()];
    const uint64_t least = returns && each->fate == Transmission::Fate::kAccepted ? 1 : 0;
    const uint64_t most = returns && each->fate != Transmission::Fate::kNothing ? 1 : 0;
    run_.Require(found >= least && found <= most,
                 StrCat(found, " notices of ", each->Name(), ", of ", least, " to ", most));
  }
}

void MailWorld::ReadMaildir(Host& host, const std::string& user,
                            std::map<std::string, uint64_t>* copies) {
  std::map<std::string, std::string> texts;
  for (const std::unique_ptr<Transmission>& each : transmissions_)
    texts[each->Name()] = each->Text("\n");
  rt::Files& files = host.disk().view();
  std::set<std::string> ids;
  for (const char* part : {"new", "cur"}) {
    const std::string folder = StrCat("/home/", user, "/Maildir/", part);
    const StatusOr<std::vector<rt::DirectoryEntry>> entries = files.List(folder);
    if (!entries.ok()) continue;
    for (const rt::DirectoryEntry& entry : *entries) {
      const size_t id = entry.name.find(".Q");
      run_.Require(id != std::string::npos,
                   StrCat(user, " has a file without a queue id: ", entry.name));
      run_.Require(ids.insert(entry.name.substr(id, 18)).second,
                   StrCat(user, " has one envelope twice: ", entry.name));
      const StatusOr<std::string> text =
          rt::ReadFile(files, StrCat(folder, "/", entry.name), kMaxMailBytes);
      run_.Require(text.ok(), StrCat(entry.name, ": ", postern::Text(text.status())));
      const size_t subject = text->find("Subject: m");
      run_.Require(subject != std::string::npos,
                   StrCat(entry.name, " of ", user, " is torn or no mail of ours"));
      const size_t name_at = subject + 9;
      const std::string name = text->substr(name_at, text->find('\n', name_at) - name_at);
      const auto wanted = texts.find(name);
      run_.Require(wanted != texts.end() && text->substr(subject) == wanted->second,
                   StrCat(entry.name, " of ", user, " does not have the text of ", name));
      ++(*copies)[name];
    }
  }
}

}  // namespace postern::sim_test
