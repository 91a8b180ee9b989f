// The resolver that a configuration asks for, and after a reload the one of the new configuration.
#pragma once

#include <memory>
#include <mutex>

#include "lib/core/base/log.h"
#include "lib/core/policy/model.h"
#include "lib/rt/world.h"
#include "lib/service/resolve/resolver.h"

namespace postern::server {

// ReadZone reads the zone of `resolver zone`; null where the configuration has none and the network
// is to be asked. kInvalidArgument names the configuration's line when the zone is wrong. Blocks.
StatusOr<std::shared_ptr<resolve::Resolver>> ReadZone(rt::World& world,
                                                      const policy::Config& config);

// MakeResolver gives the zone of `config`, or what asks the network. Errors as of ReadZone. Blocks
// for the file; call it on the main loop, or before that runs.
StatusOr<std::unique_ptr<resolve::Resolver>> MakeResolver(rt::World& world,
                                                          const policy::Config& config);

// ConfigResolver answers by the zone in force, or by the network. What is under way goes on as it
// began. Any thread.
class ConfigResolver final : public resolve::Resolver {
 public:
  // `first` is MakeResolver's for `config`. `world` and `log` outlive it.
  ConfigResolver(rt::World* world, LogSink* log, std::unique_ptr<resolve::Resolver> first,
                 const policy::Config& config);
  ~ConfigResolver() override;

  rt::Task<dns::Answer> Resolve(rt::Executor& loop, dns::Name name, dns::Type type,
                                Instant deadline) override;
  void Stop() override;

  // Use puts a zone into force at once (ReadZone's for `config`); null: the network, soon. When
  // that cannot be asked the log says why, and the zone before stays. `resolver timeout` holds for
  // the questions that follow.
  void Use(std::shared_ptr<resolve::Resolver> zone, const policy::Config& config);

 private:
  // Core is shared with what was posted to the main loop.
  struct Core {
    std::mutex mutex;
    std::shared_ptr<resolve::Resolver> current;
    std::shared_ptr<resolve::Resolver> network;  // null until it is asked for
    Duration question_timeout = resolve::kQuestionTimeout;
    bool wants_network = false;
    bool stopped = false;
  };
  static void UseNetwork(rt::World* world, LogSink* log, Core* core);

  rt::World* world_;
  LogSink* log_;
  std::shared_ptr<Core> core_;
};

}  // namespace postern::server
