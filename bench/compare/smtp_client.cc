#include "bench/compare/smtp_client.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/core/base/strings.h"

namespace postern::bench {
namespace {

using State = Session::State;

constexpr size_t kMaxReplyLineBytes = 4096;
constexpr size_t kMaxComplaints = 5;
constexpr char kHello[] = "EHLO load.example.test\r\n";

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(2);
}

std::string MakeText(size_t bytes) {
  std::string text =
      "From: Load <load@example.org>\r\nTo: Bench <bench@example.test>\r\nSubject: a message of a "
      "certain size\r\n"
      "Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <load@example.org>\r\n\r\n";
  while (text.size() < bytes) {
    const size_t room = std::min<size_t>(bytes - text.size(), 76);
    if (room <= 2) {
      text.insert(text.size() - 2, room, 'x');
      break;
    }
    text.append(room - 2, 'x').append("\r\n");
  }
  return text + ".\r\n";
}

}  // namespace

int64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

uint32_t Percentile(const std::vector<uint32_t>& values, double fraction) {
  if (values.empty()) return 0;
  std::vector<uint32_t> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return sorted[std::min(sorted.size() - 1,
                         static_cast<size_t>(fraction * static_cast<double>(sorted.size())))];
}

Driver::Driver(ClientOptions options)
    : options_(std::move(options)), text_(MakeText(options_.message_bytes)) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) Die("epoll_create1");
  if (options_.starttls) tls_ = *tls::ClientConfig::Make(tls::ClientOptions());
}

Driver::~Driver() {
  for (const auto& session : sessions_) Close(*session);
  ::close(epoll_);
}

void Driver::Watch(Session& session, bool write) {
  const uint32_t wanted = EPOLLIN | (write ? EPOLLOUT : 0u);
  if (session.interest == wanted) return;
  epoll_event event{};
  event.events = wanted;
  event.data.ptr = &session;
  if (::epoll_ctl(epoll_, session.interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, session.fd,
                  &event) != 0)
    Die("epoll_ctl");
  session.interest = wanted;
}

void Driver::Open(Session& session) {
  session.message_start_ns = session.progress_ns = NowNs();
  session.left_on_connection = options_.messages_per_connection;
  session.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (session.fd < 0) Die("socket");
  const int on = 1;
  ::setsockopt(session.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options_.source_addresses > 1) {
    ::setsockopt(session.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr =
        htonl(INADDR_LOOPBACK + static_cast<uint32_t>(next_source_++ % options_.source_addresses));
    if (::bind(session.fd, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0) Die("bind");
  }
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(options_.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected = ::connect(session.fd, reinterpret_cast<sockaddr*>(&to), sizeof to);
  if (connected != 0 && errno != EINPROGRESS) return Fail(session, std::strerror(errno));
  session.state = connected == 0 ? State::kGreeting : State::kConnect;
  Watch(session, connected != 0);
}

void Driver::Close(Session& session) {
  if (session.fd >= 0) ::close(session.fd);
  session.fd = -1;
  session.interest = 0;
  session.in.clear();
  session.out.clear();
  session.engine.reset();
  session.state = State::kIdle;
}

void Driver::Fail(Session& session, std::string_view why) {
  // After its last message a session owes us nothing: a server may close before our QUIT is
  // answered.
  if (session.state == State::kHeld) {
    --held_;
  } else if (session.state != State::kQuit) {
    ++outcome_.failed;
    if (outcome_.complaints.size() < kMaxComplaints) outcome_.complaints.emplace_back(why);
    if (options_.only_greet) --opening_;
  }
  Close(session);
}

void Driver::SayRaw(Session& session, std::string_view octets) {
  if (session.out.empty()) {
    const ssize_t sent =
        ::send(session.fd, octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) octets.remove_prefix(static_cast<size_t>(sent));
    if (octets.empty()) return;
  }
  session.out.append(octets);
  Watch(session, true);
}

void Driver::Say(Session& session, std::string_view text) {
  if (session.engine == nullptr) return SayRaw(session, text);
  while (!text.empty()) {
    const size_t taken = session.engine->Write(text);
    if (taken == 0) break;
    text.remove_prefix(taken);
  }
  SayRaw(session, session.engine->TakeOutput());
}

void Driver::StartMessage(Session& session) {
  session.state = State::kMail;
  Say(session, "MAIL FROM:<load@example.org>\r\n");
}

void Driver::OnReply(Session& session, int code, std::string_view line) {
  const auto wants = [&](int expected) {
    if (code == expected) return true;
    Fail(session, line);
    return false;
  };
  switch (session.state) {
    case State::kGreeting:
      if (!wants(220)) return;
      session.state = State::kHello;
      return Say(session, kHello);
    case State::kHello:
      if (!wants(250)) return;
      if (!options_.starttls) break;
      session.state = State::kStartTls;
      return Say(session, "STARTTLS\r\n");
    case State::kStartTls:
      if (!wants(220)) return;
      session.state = State::kHandshake;
      session.engine = tls::Engine::Client(tls_, "localhost", absl::Now());
      return StepHandshake(session);
    case State::kTlsHello:
      if (!wants(250)) return;
      break;
    case State::kMail: {
      if (!wants(250)) return;
      session.state = State::kRcpt;
      const size_t user = next_user_++ % options_.users;
      return Say(session, StrCat("RCPT TO:<", options_.recipient_prefix, user, "@",
                                 options_.recipient_domain, ">\r\n"));
    }
    case State::kRcpt:
      if (!wants(250)) return;
      session.state = State::kData;
      return Say(session, "DATA\r\n");
    case State::kData:
      if (!wants(354)) return;
      session.state = State::kText;
      return Say(session, text_);
    case State::kText: {
      if (!wants(250)) return;
      const int64_t now = NowNs();
      ++outcome_.accepted;
      outcome_.last_accept_ns = now;
      outcome_.latencies_us.push_back(
          static_cast<uint32_t>((now - session.message_start_ns) / 1000));
      if (--session.left_on_connection > 0 && to_start_ > 0) {
        --to_start_;
        session.message_start_ns = now;
        return StartMessage(session);
      }
      session.state = State::kQuit;
      return Say(session, "QUIT\r\n");
    }
    case State::kQuit: return Close(session);
    default: return Fail(session, line);
  }
  if (options_.only_greet) {
    session.state = State::kHeld;
    --opening_;
    ++held_;
    return;
  }
  StartMessage(session);
}

void Driver::OnOctets(Session& session, std::string_view octets) {
  session.in.append(octets);
  if (session.in.size() > kMaxReplyLineBytes) return Fail(session, "a reply without end");
  size_t from = 0;
  while (session.fd >= 0) {
    const size_t end = session.in.find('\n', from);
    if (end == std::string::npos) break;
    const std::string line = session.in.substr(from, end - from);
    from = end + 1;
    if (line.size() >= 4 && line[3] == '-') continue;
    OnReply(session, std::atoi(line.c_str()), line);
  }
  if (session.fd >= 0) session.in.erase(0, from);
}

void Driver::StepHandshake(Session& session) {
  const tls::Engine::Step step = session.engine->Handshake();
  if (session.engine->has_output()) SayRaw(session, session.engine->TakeOutput());
  if (step == tls::Engine::Step::kFailed) return Fail(session, Message(session.engine->error()));
  if (step == tls::Engine::Step::kNeedInput) return;
  session.state = State::kTlsHello;
  Say(session, kHello);
}

void Driver::Pull(Session& session) {
  std::array<char, 16 * 1024> buffer;
  const ssize_t got = ::recv(session.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return Fail(session, std::strerror(errno));
  }
  if (got == 0) return Fail(session, "the server closed the connection");
  session.progress_ns = NowNs();
  std::string_view octets(buffer.data(), static_cast<size_t>(got));
  if (session.engine == nullptr) return OnOctets(session, octets);
  while (session.fd >= 0) {
    octets.remove_prefix(session.engine->Feed(octets));
    if (session.state == State::kHandshake) StepHandshake(session);
    if (session.fd < 0) return;
    if (session.state != State::kHandshake) {
      std::array<char, 4096> plain;
      for (;;) {
        const tls::Engine::ReadResult read = session.engine->Read(plain);
        if (read.kind == tls::Engine::ReadKind::kData) {
          OnOctets(session, std::string_view(plain.data(), read.size));
          if (session.fd < 0) return;
          continue;
        }
        if (read.kind != tls::Engine::ReadKind::kNeedInput) return Fail(session, "TLS ended");
        break;
      }
    }
    if (octets.empty()) return;
  }
}

void Driver::OnReady(Session& session, uint32_t events) {
  if (session.state == State::kConnect) {
    int error = 0;
    socklen_t length = sizeof error;
    ::getsockopt(session.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return Fail(session, std::strerror(error));
    session.state = State::kGreeting;
    Watch(session, false);
  }
  if ((events & EPOLLOUT) != 0 && !session.out.empty()) {
    const ssize_t sent =
        ::send(session.fd, session.out.data(), session.out.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) session.out.erase(0, static_cast<size_t>(sent));
    if (session.out.empty()) Watch(session, false);
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) Pull(session);
}

void Driver::Turn(int timeout_ms) {
  std::array<epoll_event, 256> events;
  const int count =
      ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
  for (int i = 0; i < count; ++i) {
    if (events[static_cast<size_t>(i)].data.ptr == nullptr) {
      on_also_();
      continue;
    }
    Session& session = *static_cast<Session*>(events[static_cast<size_t>(i)].data.ptr);
    // An earlier event of this turn may have closed it.
    if (session.fd >= 0) OnReady(session, events[static_cast<size_t>(i)].events);
  }
}

void Driver::DropImpatient() {
  const int64_t now = NowNs();
  for (const auto& session : sessions_) {
    if (session->fd < 0 || session->state == State::kHeld) continue;
    if (now - session->progress_ns > options_.patience_ns) Fail(*session, "no progress in time");
  }
}

Outcome Driver::Send(size_t sessions, size_t messages, int also_fd,
                     const std::function<void()>& on_also) {
  outcome_ = Outcome();
  outcome_.latencies_us.reserve(messages);
  to_start_ = messages;
  on_also_ = on_also;
  if (also_fd >= 0) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, also_fd, &event) != 0) Die("epoll_ctl");
  }
  while (sessions_.size() < sessions) sessions_.push_back(std::make_unique<Session>());
  outcome_.start_ns = NowNs();
  int64_t looked_ns = outcome_.start_ns;
  for (;;) {
    size_t open = 0;
    for (const auto& session : sessions_) {
      if (session->fd < 0 && to_start_ > 0) {
        --to_start_;
        Open(*session);
      }
      if (session->fd >= 0 && session->state != State::kHeld) ++open;
    }
    if (open == 0 && to_start_ == 0) break;
    Turn(200);
    if (NowNs() - looked_ns > 500'000'000) {
      looked_ns = NowNs();
      DropImpatient();
    }
  }
  if (also_fd >= 0) ::epoll_ctl(epoll_, EPOLL_CTL_DEL, also_fd, nullptr);
  return std::move(outcome_);
}

size_t Driver::Hold(size_t sessions, size_t at_once, Outcome* outcome) {
  outcome_ = Outcome();
  outcome_.start_ns = NowNs();
  size_t begun = 0;
  int64_t looked_ns = outcome_.start_ns;
  while (begun < sessions || opening_ > 0) {
    while (begun < sessions && opening_ < at_once) {
      sessions_.push_back(std::make_unique<Session>());
      ++begun;
      ++opening_;
      Open(*sessions_.back());
    }
    Turn(200);
    if (NowNs() - looked_ns > 500'000'000) {
      looked_ns = NowNs();
      DropImpatient();
    }
  }
  *outcome = std::move(outcome_);
  return held_;
}

size_t Driver::StillHeld() {
  Turn(0);
  return held_;
}

}  // namespace postern::bench
