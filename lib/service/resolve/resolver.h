// Resolver: names to records, for everybody in the house.
#pragma once

#include <memory>
#include <string>

#include "lib/core/base/log.h"
#include "lib/core/dns/answer.h"
#include "lib/core/dns/zone.h"
#include "lib/rt/task.h"
#include "lib/rt/world.h"

namespace postern::resolve {

class Resolver {
 public:
  virtual ~Resolver() = default;

  // Resolve asks for `type` at `name`, following CNAMEs, and never fails: what goes wrong is an
  // answer of kind kServFail or kTimeout. `loop` is the caller's, any loop of the world; the answer
  // comes on it. It ends by `deadline`.
  virtual rt::Task<dns::Answer> Resolve(rt::Executor& loop, dns::Name name, dns::Type type,
                                        Instant deadline) = 0;

  // SetQuestionTimeout bounds questions that are asked from now on, of a resolver that has such a
  // bound of its own. Any thread.
  virtual void SetQuestionTimeout(Duration) {}

  // Stop ends the questions that are under way (kServFail) and lets go of descriptors and timers.
  // On the main loop, once, before the world ends.
  virtual void Stop() {}
};

// ZoneResolver answers from zone text, and says NXDOMAIN for what is not in it. A timeout in the
// zone is answered at the deadline, as by a server that is silent.
class ZoneResolver final : public Resolver {
 public:
  explicit ZoneResolver(dns::ZoneData zone);
  ~ZoneResolver() override;
  rt::Task<dns::Answer> Resolve(rt::Executor& loop, dns::Name name, dns::Type type,
                                Instant deadline) override;

 private:
  dns::ZoneData zone_;
};

// What one question may take where nothing else is said.
inline constexpr Duration kQuestionTimeout = absl::Seconds(5);

struct UnboundOptions {
  // resolv_conf: ask the servers named in this file. Empty, or there is no such file (a machine
  // without a network): full recursion from the root.
  std::string resolv_conf = "/etc/resolv.conf";
  // forwarders: ask these ("192.0.2.53", "127.0.0.1@5353") instead of resolv_conf's.
  std::vector<std::string> forwarders;
  // hosts: names and addresses of this file come first. Empty, or there is no such file: none do.
  std::string hosts = "/etc/hosts";
  // trust_anchor_file: the root's keys, for DNSSEC ("/usr/share/dns/root.key"). Empty: nothing is
  // validated.
  std::string trust_anchor_file;
  // cache_bytes bounds each of the record and the message cache.
  size_t cache_bytes = 4 << 20;
  // question_timeout bounds one question, whatever its asker's deadline is: then it is kTimeout
  // (SetQuestionTimeout). A check of a mail asks several, and must end within the 20 s of RFC 7208
  // §4.6.4. libunbound goes on with it, so that the answer is in the cache when it is asked for
  // again.
  Duration question_timeout = kQuestionTimeout;
  // tries: how often a server is asked one question before another server is, or it fails. With
  // libunbound's own five a server that is not there takes it 17 s, as it waits longer each time.
  int tries = 3;
  // max_questions bounds those under way; one more is kServFail at once.
  size_t max_questions = 1000;
};

// NewUnboundResolver makes a validating, caching resolver out of libunbound, on `world`'s main
// loop: no thread, no process. Its loop must have descriptors (Executor::WatchFd); elsewhere every
// question is kServFail. Call it on the main loop, or before it runs. An error names the option
// that libunbound refuses.
StatusOr<std::unique_ptr<Resolver>> NewUnboundResolver(rt::World& world,
                                                       const UnboundOptions& options);

}  // namespace postern::resolve
