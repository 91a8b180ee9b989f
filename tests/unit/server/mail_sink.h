// MailSink: the next server, for tests whose own memory runs out: a thread for each connection, all
// of them exempt from that. What it takes becomes a file of a folder, durable or not.
#pragma once

#include "tests/unit/denied_memory.h"
#include <arpa/inet.h>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "lib/core/base/strings.h"

namespace postern::test {

class MailSink {
 public:
  // Each message is written to `tmp` and then moved to `folder`.
  MailSink(std::string tmp, std::string folder) : tmp_(std::move(tmp)), folder_(std::move(folder)) {
    listening_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listening_, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
        listen(listening_, 16) == 0 &&
        getsockname(listening_, reinterpret_cast<sockaddr*>(&address), &size) == 0)
      port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { Accept(); });
  }
  // The clients are gone, or go now.
  ~MailSink() {
    shutdown(listening_, SHUT_RDWR);
    accepting_.join();
    close(listening_);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      for (const int fd : open_) shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& each : serving_) each.join();
  }
  MailSink(const MailSink&) = delete;
  MailSink& operator=(const MailSink&) = delete;

  uint16_t port() const { return port_; }

 private:
  void Accept() {
    ExemptThisThread();
    for (;;) {
      const int fd = accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const std::lock_guard<std::mutex> lock(mutex_);
      open_.push_back(fd);
      serving_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    ExemptThisThread();
    std::string unread, text;
    bool in_text = false;
    Say(fd, "220 sink.example ESMTP");
    for (char bytes[4096];;) {
      const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) break;
      unread.append(bytes, static_cast<size_t>(n));
      for (size_t end; (end = unread.find("\r\n")) != std::string::npos;) {
        const std::string line = unread.substr(0, end);
        unread.erase(0, end + 2);
        if (in_text && line != ".") {
          text += line + "\n";
        } else if (in_text) {
          in_text = false;
          Keep(text);
          text.clear();
          Say(fd, "250 2.0.0 taken");
        } else if (line == "DATA") {
          in_text = true;
          Say(fd, "354 go on");
        } else if (line == "QUIT") {
          Say(fd, "221 2.0.0 bye");
        } else {
          Say(fd, "250 2.0.0 ok");
        }
      }
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    std::erase(open_, fd);
    close(fd);
  }

  static void Say(int fd, const std::string& line) {
    const std::string octets = line + "\r\n";
    (void)!send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
  }

  void Keep(const std::string& text) {
    const std::string name = StrCat("/relayed-", ++count_);
    std::ofstream(tmp_ + name) << text;
    (void)std::rename((tmp_ + name).c_str(), (folder_ + name).c_str());
  }

  const std::string tmp_, folder_;
  int listening_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> count_{0};
  std::mutex mutex_;
  std::vector<int> open_;             // of serving_; under mutex_
  std::vector<std::thread> serving_;  // of accepting_, then of the destructor
  std::thread accepting_;
};

}  // namespace postern::test
