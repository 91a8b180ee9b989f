// Both resolvers on the real machine: zone text, and libunbound asking a small server of our own on
// loopback.
#include "lib/service/resolve/resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"
#include "lib/core/dns/message.h"
#include "lib/core/trust/spf_check.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/service/resolve/ask.h"

namespace postern::resolve {
namespace {

using dns::Answer;
using dns::Name;
using dns::Type;

constexpr std::string_view kZone = R"(
$ORIGIN example.com.
@ MX 10 mx
mx A 192.0.2.1
alias CNAME mx
)";

rt::Task<void> AskInto(Resolver& resolver, rt::Executor& loop, std::string name, Type type,
                       Duration patience, std::optional<Answer>* into) {
  Answer answer = co_await resolver.Resolve(loop, *Name::Parse(name), type, loop.Now() + patience);
  into->emplace(std::move(answer));
}

// UdpServer answers queries from zone text, on a port of loopback, when the world's loop runs.
class UdpServer {
 public:
  UdpServer(rt::Executor& loop, dns::ZoneData zone) : zone_(std::move(zone)) {
    fd_ = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    watch_ = loop.WatchFd(fd_, {.read = true}, [this](rt::FdInterest) { Serve(); });
  }
  ~UdpServer() {
    watch_.reset();
    close(fd_);
  }
  uint16_t port() const { return port_; }
  int asked = 0;
  bool truncates = false;  // says of each answer that it is cut short

 private:
  void Serve() {
    char buffer[2048];
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const ssize_t n =
        recvfrom(fd_, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 12) return;
    ++asked;
    const std::string_view query(buffer, static_cast<size_t>(n));
    size_t at = 12;
    std::optional<Name> name = dns::ReadName(query, &at);
    if (!name || at + 4 > query.size()) return;
    const Type type = static_cast<Type>(static_cast<unsigned char>(query[at]) << 8 |
                                        static_cast<unsigned char>(query[at + 1]));
    const Answer answer = zone_.Query(*name, type);
    std::string reply(query.substr(0, at + 4));
    reply[2] = static_cast<char>(truncates ? 0x83 : 0x81);
    reply[3] = static_cast<char>(0x80 | (answer.kind == Answer::Kind::kNxDomain ? 3 : 0));
    reply[6] = 0, reply[7] = static_cast<char>(answer.records.size());
    reply[8] = reply[9] = reply[10] = reply[11] = 0;
    for (const dns::Record& record : answer.records) {
      const std::string data = dns::RdataToWire(type, record.data);
      reply += name->wire();
      reply += query.substr(at, 4);
      reply.append("\0\0\0\x3c", 4);
      reply.push_back(static_cast<char>(data.size() >> 8));
      reply.push_back(static_cast<char>(data.size()));
      reply += data;
    }
    sendto(fd_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
  }
  dns::ZoneData zone_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::unique_ptr<rt::FdWatch> watch_;
};

// SilentPort is a UDP port of loopback at which nobody answers: somebody listens and says nothing,
// or, after Close, nothing listens there.
class SilentPort {
 public:
  SilentPort() : fd_(socket(AF_INET, SOCK_DGRAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~SilentPort() { Close(); }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  uint16_t port() const { return port_; }

 private:
  int fd_;
  uint16_t port_ = 0;
};

class ResolverTest : public ::testing::Test {
 protected:
  ResolverTest() : world_({.workers = 1, .pool_threads = 1, .no_threads = true}) {}
  Answer Ask(Resolver& resolver, std::string name, Type type,
             Duration patience = absl::Seconds(5)) {
    std::optional<Answer> answer;
    rt::TaskGroup group;
    world_.main_loop().Post(
        [&] { group.Spawn(AskInto(resolver, world_.main_loop(), name, type, patience, &answer)); });
    for (int i = 0; i < 1000 && !(answer.has_value() && group.running() == 0); ++i)
      world_.Poll(absl::Milliseconds(20));
    return answer.value_or(Answer::Failure(Answer::Kind::kServFail, "the test gave up"));
  }
  rt::AsioWorld world_;
};

TEST_F(ResolverTest, ZoneText) {
  ZoneResolver resolver(*dns::ZoneData::Parse(StrCat(kZone, "slow TIMEOUT\n")));
  EXPECT_EQ(std::get<dns::MxData>(Ask(resolver, "example.com", Type::kMx).records.at(0).data)
                .exchange.ToString(),
            "mx.example.com");
  EXPECT_EQ(Ask(resolver, "none.example.com", Type::kA).kind, Answer::Kind::kNxDomain);
  EXPECT_EQ(Ask(resolver, "slow.example.com", Type::kA, absl::Milliseconds(50)).kind,
            Answer::Kind::kTimeout);
}

TEST_F(ResolverTest, UnboundOnOurLoop) {
  UdpServer server(world_.main_loop(), *dns::ZoneData::Parse(kZone));
  UnboundOptions options;
  options.forwarders = {StrCat("127.0.0.1@", server.port())};
  options.hosts.clear();
  StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
  ASSERT_TRUE(resolver.ok()) << Text(resolver.status());
  const Answer mx = Ask(**resolver, "example.com", Type::kMx);
  ASSERT_TRUE(mx.ok()) << mx.detail;
  EXPECT_EQ(std::get<dns::MxData>(mx.records.at(0).data).exchange.ToString(), "mx.example.com");
  EXPECT_EQ(mx.security, Answer::Security::kInsecure);
  EXPECT_EQ(Ask(**resolver, "none.example.com", Type::kA).kind, Answer::Kind::kNxDomain);
  EXPECT_EQ(Ask(**resolver, "mx.example.com", Type::kMx).kind, Answer::Kind::kNoData);
  const int asked = server.asked;
  EXPECT_TRUE(Ask(**resolver, "example.com", Type::kMx).ok());
  EXPECT_EQ(server.asked, asked) << "the second question is answered from the cache";
  (*resolver)->Stop();
  EXPECT_EQ(Ask(**resolver, "example.com", Type::kMx).kind, Answer::Kind::kServFail);
}

// The operator's own servers are asked for what is on the operator's own network.
TEST_F(ResolverTest, PrivateNetworksAndNamesAreAskedOfTheForwarder) {
  constexpr std::string_view kPrivate = R"(
mail.test. A 10.0.0.7
7.0.0.10.in-addr.arpa. PTR mail.test.
7.2.0.192.in-addr.arpa. PTR mail.test.
9.1.168.192.in-addr.arpa. PTR mail.test.
)";
  UdpServer server(world_.main_loop(), *dns::ZoneData::Parse(kPrivate));
  UnboundOptions options;
  options.forwarders = {StrCat("127.0.0.1@", server.port())};
  options.hosts.clear();
  StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
  ASSERT_TRUE(resolver.ok()) << Text(resolver.status());
  EXPECT_TRUE(Ask(**resolver, "mail.test", Type::kA).ok());
  for (const char* name :
       {"7.0.0.10.in-addr.arpa", "7.2.0.192.in-addr.arpa", "9.1.168.192.in-addr.arpa"}) {
    EXPECT_TRUE(Ask(**resolver, name, Type::kPtr).ok()) << name;
  }
}

TEST_F(ResolverTest, UnboundMeetsTheDeadline) {
  SilentPort silent;
  UnboundOptions options;
  options.forwarders = {StrCat("127.0.0.1@", silent.port())};
  options.hosts.clear();
  StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
  ASSERT_TRUE(resolver.ok()) << Text(resolver.status());
  EXPECT_EQ(Ask(**resolver, "example.com", Type::kMx, absl::Milliseconds(200)).kind,
            Answer::Kind::kTimeout);
  resolver->reset();  // with a question under way
}

// UnboundOptions::question_timeout, where the asker would wait longer: for a server that says
// nothing, for one that is not there, and for one whose answer is cut short (TC, RFC 2181 §9) and
// that has no TCP.
TEST_F(ResolverTest, NoServerHoldsAQuestionUpForLong) {
  SilentPort silent, closed;
  closed.Close();
  UdpServer cut_short(world_.main_loop(), *dns::ZoneData::Parse(kZone));
  cut_short.truncates = true;
  for (const uint16_t port : {silent.port(), closed.port(), cut_short.port()}) {
    UnboundOptions options;
    options.forwarders = {StrCat("127.0.0.1@", port)};
    options.hosts.clear();
    options.question_timeout = absl::Milliseconds(300);
    StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
    ASSERT_TRUE(resolver.ok()) << Text(resolver.status());
    const Instant begin = world_.main_loop().Now();
    const Answer answer = Ask(**resolver, "example.com", Type::kMx, absl::Seconds(60));
    EXPECT_FALSE(answer.ok());
    EXPECT_TRUE(answer.kind == Answer::Kind::kTimeout || answer.kind == Answer::Kind::kServFail);
    EXPECT_LT(world_.main_loop().Now() - begin, absl::Seconds(10));
    (*resolver)->Stop();
  }
  EXPECT_GT(cut_short.asked, 0);
}

// A reload with another `resolver timeout`.
TEST_F(ResolverTest, TheTimeOfAQuestionCanChange) {
  SilentPort silent;
  UnboundOptions options;
  options.forwarders = {StrCat("127.0.0.1@", silent.port())};
  options.hosts.clear();
  options.question_timeout = absl::Seconds(60);
  StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
  ASSERT_TRUE(resolver.ok()) << Text(resolver.status());
  (*resolver)->SetQuestionTimeout(absl::Milliseconds(1));
  const Answer answer = Ask(**resolver, "example.com", Type::kMx, absl::Seconds(60));
  EXPECT_EQ(answer.detail, "no answer in time") << "libunbound's own word would come in 17 s";
  (*resolver)->Stop();
}

rt::Task<void> CheckInto(Resolver& resolver, rt::Executor& loop, trust::SpfQuery query,
                         std::optional<trust::Spf>* into) {
  auto ask = AskResolver(resolver, loop, trust::CheckSpf(std::move(query)),
                         loop.Now() + absl::Seconds(60));
  into->emplace(co_await std::move(ask));
}

// With nothing but the defaults a check of a mail ends in temperror, well within the 20 s that RFC
// 7208 §4.6.4 gives all its questions together.
TEST_F(ResolverTest, SpfIsATemporaryErrorWhereNoServerListens) {
  SilentPort closed;
  closed.Close();
  UnboundOptions options;
  options.forwarders = {StrCat("127.0.0.1@", closed.port())};
  options.hosts.clear();
  StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
  ASSERT_TRUE(resolver.ok()) << Text(resolver.status());
  trust::SpfQuery query;
  query.client = IpAddress::V4(192, 0, 2, 7);
  query.helo = "mx.example.com";
  query.sender = "someone@example.com";
  std::optional<trust::Spf> spf;
  rt::TaskGroup group;
  const Instant begin = world_.main_loop().Now();
  group.Spawn(CheckInto(**resolver, world_.main_loop(), std::move(query), &spf));
  while (group.running() > 0) world_.Poll(absl::Milliseconds(20));
  EXPECT_EQ(spf->result, trust::SpfResult::kTempError) << spf->explanation;
  EXPECT_LT(world_.main_loop().Now() - begin, absl::Seconds(12));
  (*resolver)->Stop();
}

// A small container has neither file, and the C library takes both for empty then.
TEST_F(ResolverTest, UnboundDoesWithoutTheSystemsFiles) {
  UnboundOptions options;
  options.resolv_conf = "/nonexistent/resolv.conf";
  options.hosts = "/nonexistent/hosts";
  StatusOr<std::unique_ptr<Resolver>> resolver = NewUnboundResolver(world_, options);
  EXPECT_TRUE(resolver.ok()) << Text(resolver.status());
}

TEST_F(ResolverTest, UnboundRefusesBadOptions) {
  UnboundOptions options;
  options.forwarders = {"no address"};
  EXPECT_FALSE(NewUnboundResolver(world_, options).ok());
}

}  // namespace
}  // namespace postern::resolve
