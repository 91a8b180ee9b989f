// postern-hold opens idle SMTP sessions, measures what each costs the server in resident memory,
// and how long an honest client's message takes meanwhile. One JSON object on standard output.
#include "bench/compare/arguments.h"
#include "bench/compare/process_memory.h"
#include "bench/compare/smtp_client.h"
#include <cstdio>
#include <sys/resource.h>
#include <unistd.h>

namespace postern::bench {
namespace {

constexpr char kUsage[] =
    "usage: postern-hold --server-pid PID [--port N] [--sessions N] [--starttls 0|1] [--at-once N] "
    "[--sources N]\n"
    "                    [--honest-messages N] [--users N] [--prefix bench] [--domain D]\n";

int Main(int argc, char** argv) {
  Arguments arguments(argc, argv);
  ClientOptions options;
  options.port = static_cast<uint16_t>(arguments.Number("--port", 2525));
  options.starttls = arguments.Number("--starttls", 0) != 0;
  options.users = arguments.Number("--users", 1);
  options.recipient_prefix = arguments.Text("--prefix", "bench");
  options.recipient_domain = arguments.Text("--domain", "example.test");
  options.source_addresses = arguments.Number("--sources", 16);
  const int pid = static_cast<int>(arguments.Number("--server-pid", 0));
  const size_t sessions = arguments.Number("--sessions", 10'000);
  const size_t at_once = arguments.Number("--at-once", 100);
  const size_t honest_messages = arguments.Number("--honest-messages", 200);
  arguments.Check(kUsage);

  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < sessions + 100) {
    limit.rlim_cur = std::max<rlim_t>(sessions + 100, limit.rlim_cur);
    limit.rlim_max = std::max(limit.rlim_max, limit.rlim_cur);
    if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
      std::perror("postern-hold: RLIMIT_NOFILE");
      return 2;
    }
  }

  ClientOptions honest = options;
  honest.source_addresses = 1;
  Driver honest_client(honest);
  // What the server needs for its first message and handshake is not the sessions' cost.
  const Outcome warm = honest_client.Send(1, 20);
  ::usleep(500'000);
  const Memory before = MemoryOf(pid);

  options.only_greet = true;
  Driver holder(options);
  Outcome opening;
  const int64_t start_ns = NowNs();
  const size_t held = holder.Hold(sessions, at_once, &opening);
  const double open_seconds = static_cast<double>(NowNs() - start_ns) / 1e9;
  ::usleep(500'000);
  const Memory during = MemoryOf(pid);
  const Outcome served = honest_client.Send(1, honest_messages);
  const size_t still = holder.StillHeld();

  const double divisor = held > 0 ? static_cast<double>(held) : 1;
  const double grown =
      static_cast<double>(during.resident_kib) - static_cast<double>(before.resident_kib);
  std::printf(
      "{\"held\": %zu, \"still_held\": %zu, \"failed\": %llu, \"open_seconds\": %.2f, "
      "\"rss_before_kib\": %llu, "
      "\"rss_during_kib\": %llu, \"kib_per_session\": %.2f, \"honest_accepted\": %llu, "
      "\"honest_failed\": %llu, "
      "\"honest_p50_ms\": %.2f, \"honest_p99_ms\": %.2f, \"honest_max_ms\": %.2f, "
      "\"first_complaint\": \"%s\"}\n",
      held, still, static_cast<unsigned long long>(opening.failed), open_seconds,
      static_cast<unsigned long long>(before.resident_kib),
      static_cast<unsigned long long>(during.resident_kib), grown / divisor,
      static_cast<unsigned long long>(served.accepted + warm.accepted),
      static_cast<unsigned long long>(served.failed + warm.failed),
      Percentile(served.latencies_us, 0.5) / 1e3, Percentile(served.latencies_us, 0.99) / 1e3,
      Percentile(served.latencies_us, 1) / 1e3,
      opening.complaints.empty() ? "" : "see the server's log");
  return 0;
}

}  // namespace
}  // namespace postern::bench

int main(int argc, char** argv) { return postern::bench::Main(argc, argv); }
