// postern-load sends messages to an SMTP server on loopback, watches them arrive in Maildirs, and
// prints one JSON object: messages accepted and delivered a second, latencies, failures.
#include "bench/compare/arguments.h"
#include "bench/compare/smtp_client.h"
#include <array>
#include <cstdio>
#include <cstring>
#include <dirent.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

namespace postern::bench {
namespace {

constexpr char kUsage[] =
    "usage: postern-load [--port N] [--sessions N] [--messages N] [--size BYTES] [--starttls 0|1] "
    "[--per-connection N]\n"
    "                    [--users N] [--prefix bench] [--domain D] [--sources N] [--patience "
    "SECONDS]\n"
    "                    [--new MAILDIR/new]... [--delivery-patience SECONDS]\n";

size_t CountFiles(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(directory);
  return count;
}

// Arrivals counts what appears in the new/ folders, as it appears, by inotify: listing them again
// and again would take the server's time.
class Arrivals {
 public:
  explicit Arrivals(const std::vector<std::string>& folders) {
    if (folders.empty()) return;
    fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    for (const std::string& folder : folders) {
      if (::inotify_add_watch(fd_, folder.c_str(), IN_CREATE | IN_MOVED_TO) < 0) {
        std::perror(folder.c_str());
        std::exit(2);
      }
    }
  }
  int fd() const { return fd_; }
  uint64_t count() const { return count_; }
  int64_t last_ns() const { return last_ns_; }

  void Take() {
    std::array<char, 64 * 1024> buffer;
    for (;;) {
      const ssize_t got = ::read(fd_, buffer.data(), buffer.size());
      if (got <= 0) return;
      for (ssize_t at = 0; at < got;) {
        inotify_event event;
        std::memcpy(&event, buffer.data() + at, sizeof event);
        if ((event.mask & IN_Q_OVERFLOW) != 0) {
          std::fputs("postern-load: the kernel lost count of deliveries\n", stderr);
          std::exit(2);
        }
        ++count_;
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
      last_ns_ = NowNs();
    }
  }

 private:
  int fd_ = -1;
  uint64_t count_ = 0;
  int64_t last_ns_ = 0;
};

double PerSecond(uint64_t count, int64_t from_ns, int64_t to_ns) {
  return to_ns > from_ns ? static_cast<double>(count) * 1e9 / static_cast<double>(to_ns - from_ns)
                         : 0;
}

double OwnCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int Main(int argc, char** argv) {
  Arguments arguments(argc, argv);
  ClientOptions options;
  options.port = static_cast<uint16_t>(arguments.Number("--port", 2525));
  options.message_bytes = arguments.Number("--size", 4096);
  options.starttls = arguments.Number("--starttls", 0) != 0;
  options.messages_per_connection = arguments.Number("--per-connection", 1);
  options.users = arguments.Number("--users", 1);
  options.recipient_prefix = arguments.Text("--prefix", "bench");
  options.recipient_domain = arguments.Text("--domain", "example.test");
  options.source_addresses = arguments.Number("--sources", 1);
  options.patience_ns = static_cast<int64_t>(arguments.Number("--patience", 30)) * 1'000'000'000;
  const size_t sessions = arguments.Number("--sessions", 1);
  const size_t messages = arguments.Number("--messages", 1000);
  const int64_t delivery_patience_ns =
      static_cast<int64_t>(arguments.Number("--delivery-patience", 60)) * 1'000'000'000;
  const std::vector<std::string> folders = arguments.Texts("--new");
  arguments.Check(kUsage);

  size_t before = 0;
  for (const std::string& folder : folders) before += CountFiles(folder);
  Arrivals arrivals(folders);
  Driver driver(options);
  const Outcome outcome = driver.Send(sessions, messages, arrivals.fd(), [&] { arrivals.Take(); });
  const int64_t accepted_end = outcome.last_accept_ns;
  int64_t progress_ns = NowNs();
  uint64_t seen = arrivals.count();
  while (!folders.empty() && arrivals.count() < outcome.accepted &&
         NowNs() - progress_ns < delivery_patience_ns) {
    pollfd watched{.fd = arrivals.fd(), .events = POLLIN, .revents = 0};
    ::poll(&watched, 1, 200);
    arrivals.Take();
    if (arrivals.count() != seen) progress_ns = NowNs();
    seen = arrivals.count();
  }
  size_t delivered = 0;
  for (const std::string& folder : folders) delivered += CountFiles(folder);
  delivered -= before;
  std::printf(
      "{\"sessions\": %zu, \"accepted\": %llu, \"failed\": %llu, \"accepted_per_second\": %.1f, "
      "\"delivered\": %zu, "
      "\"delivered_per_second\": %.1f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u, "
      "\"client_cpu_seconds\": %.3f, "
      "\"seconds\": %.3f, \"complaints\": [",
      sessions, static_cast<unsigned long long>(outcome.accepted),
      static_cast<unsigned long long>(outcome.failed),
      PerSecond(outcome.accepted, outcome.start_ns, accepted_end), delivered,
      folders.empty() ? 0 : PerSecond(arrivals.count(), outcome.start_ns, arrivals.last_ns()),
      Percentile(outcome.latencies_us, 0.5), Percentile(outcome.latencies_us, 0.99),
      Percentile(outcome.latencies_us, 1), OwnCpuSeconds(),
      static_cast<double>(accepted_end - outcome.start_ns) / 1e9);
  bool first = true;
  for (const std::string& complaint : outcome.complaints) {
    std::printf("%s\"", first ? "" : ", ");
    first = false;
    for (const char c : complaint) {
      if (c >= ' ' && c != '"' && c != '\\') std::putchar(c);
    }
    std::putchar('"');
  }
  std::printf("]}\n");
  return 0;
}

}  // namespace
}  // namespace postern::bench

int main(int argc, char** argv) { return postern::bench::Main(argc, argv); }
