#include "lib/server/config_resolver.h"

#include "lib/core/base/same_cause.h"
#include "lib/core/base/strings.h"
#include "lib/core/policy/diagnostic.h"
#include "lib/store/table/source_loader.h"

namespace postern::server {
namespace {

constexpr uint64_t kMaxZoneBytes = 64 << 20;

StatusOr<std::unique_ptr<resolve::Resolver>> ZoneOf(rt::World& world,
                                                    const policy::Config& config) {
  const auto wrong = [&config](const Status& status) {
    return SameCause(
        status, status.code(),
        policy::MakeError(config.resolver_location,
                          StrCat(Escape(config.resolver_zone, 200), ": ", Message(status)))
            .ToString());
  };
  const StatusOr<std::string> text =
      store::ReadTextFile(world.files(), config.resolver_zone, kMaxZoneBytes);
  if (!text.ok()) return wrong(text.status());
  StatusOr<dns::ZoneData> zone = dns::ZoneData::Parse(*text);
  if (!zone.ok()) return wrong(InvalidArgument(std::string(Message(zone.status()))));
  return std::unique_ptr<resolve::Resolver>(
      std::make_unique<resolve::ZoneResolver>(std::move(*zone)));
}

Duration QuestionTimeout(const policy::Config& config) {
  return config.resolver_timeout.value_or(resolve::kQuestionTimeout);
}

}  // namespace

StatusOr<std::shared_ptr<resolve::Resolver>> ReadZone(rt::World& world,
                                                      const policy::Config& config) {
  if (config.resolver_zone.empty()) return std::shared_ptr<resolve::Resolver>();
  StatusOr<std::unique_ptr<resolve::Resolver>> zone = ZoneOf(world, config);
  if (!zone.ok()) return zone.status();
  return std::shared_ptr<resolve::Resolver>(*std::move(zone));
}

StatusOr<std::unique_ptr<resolve::Resolver>> MakeResolver(rt::World& world,
                                                          const policy::Config& config) {
  if (config.resolver_zone.empty()) {
    resolve::UnboundOptions options;
    options.question_timeout = QuestionTimeout(config);
    return resolve::NewUnboundResolver(world, options);
  }
  return ZoneOf(world, config);
}

ConfigResolver::ConfigResolver(rt::World* world, LogSink* log,
                               std::unique_ptr<resolve::Resolver> first,
                               const policy::Config& config)
    : world_(world), log_(log), core_(std::make_shared<Core>()) {
  core_->current = std::move(first);
  core_->question_timeout = QuestionTimeout(config);
  if (config.resolver_zone.empty()) core_->network = core_->current;
}

ConfigResolver::~ConfigResolver() { ConfigResolver::Stop(); }

rt::Task<dns::Answer> ConfigResolver::Resolve(rt::Executor& loop, dns::Name name, dns::Type type,
                                              Instant deadline) {
  std::shared_ptr<resolve::Resolver> current;
  {
    const std::lock_guard<std::mutex> lock(core_->mutex);
    current = core_->current;
  }
  auto ask = current->Resolve(loop, std::move(name), type, deadline);
  dns::Answer answer = co_await std::move(ask);
  co_return answer;
}

void ConfigResolver::Stop() {
  std::shared_ptr<resolve::Resolver> network;
  {
    const std::lock_guard<std::mutex> lock(core_->mutex);
    core_->stopped = true;
    network = core_->network;
  }
  if (network != nullptr) network->Stop();
}

void ConfigResolver::Use(std::shared_ptr<resolve::Resolver> zone, const policy::Config& config) {
  const std::lock_guard<std::mutex> lock(core_->mutex);
  core_->question_timeout = QuestionTimeout(config);
  if (core_->network != nullptr) core_->network->SetQuestionTimeout(core_->question_timeout);
  core_->wants_network = zone == nullptr;
  if (zone != nullptr) {
    core_->current = std::move(zone);
  } else if (core_->network != nullptr) {
    core_->current = core_->network;
  } else {
    // It is made on its loop.
    world_->main_loop().Post(
        [world = world_, log = log_, core = core_] { UseNetwork(world, log, core.get()); });
  }
}

void ConfigResolver::UseNetwork(rt::World* world, LogSink* log, Core* core) {
  const std::lock_guard<std::mutex> lock(core->mutex);
  if (core->stopped || !core->wants_network) return;
  if (core->network == nullptr) {
    resolve::UnboundOptions options;
    options.question_timeout = core->question_timeout;
    StatusOr<std::unique_ptr<resolve::Resolver>> made =
        resolve::NewUnboundResolver(*world, options);
    if (!made.ok()) {
      log->Write(LogRecord{.level = LogLevel::kError,
                           .subsystem = "server",
                           .session = "",
                           .event = "the network's names cannot be asked for",
                           .fields = {{"error", Text(made.status())}}});
      return;
    }
    core->network = *std::move(made);
  }
  core->current = core->network;
}

}  // namespace postern::server
