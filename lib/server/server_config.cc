#include "lib/server/server_config.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::server {

schedule::SchedulerOptions SchedulerOptionsOf(const Runtime& runtime) {
  schedule::SchedulerOptions options;
  options.server_name = runtime.server_name();
  options.warn_intervals = runtime.config().bounce_warn_intervals;
  options.retry.relay_base = runtime.config().queue.retry_delay;
  options.retry.least_delay = std::min(options.retry.least_delay, options.retry.relay_base);
  options.max_deferred = static_cast<size_t>(runtime.config().mta_max_deferred);
  const policy::SchedulerLimits& limits = runtime.config().scheduler_limits;
  if (limits.max_inflight > 0)
    options.ready.max_in_flight = static_cast<size_t>(limits.max_inflight);
  if (limits.max_evp_batch_size > 0)
    options.load_limit = static_cast<size_t>(limits.max_evp_batch_size);
  return options;
}

uint64_t ReserveOf(const policy::Config& config, const ServerOptions& options) {
  return config.queue.reserve_bytes.value_or(options.queue.min_free_bytes);
}

StatusOr<std::shared_ptr<const store::SpoolSeal>> SealOf(rt::World& world,
                                                         const policy::Config& config,
                                                         const ServerOptions& options) {
  const policy::QueueSettings& queue = config.queue;
  std::string_view key = queue.encryption_key;
  if (queue.encryption == policy::QueueEncryption::kPrompt ||
      queue.encryption == policy::QueueEncryption::kStdin)
    key = options.queue_key;
  if (key.empty() && queue.encryption != policy::QueueEncryption::kNone) {
    return FailedPrecondition(
        StrCat(queue.encryption_location.ToString(), ": queue encryption: nobody gave the key"));
  }
  if (key.empty() && !queue.compression) return std::shared_ptr<const store::SpoolSeal>();
  StatusOr<std::shared_ptr<const store::SpoolSeal>> made =
      store::SpoolSeal::Make(queue.compression, key, world.random());
  if (!made.ok())
    return Annotate(made.status(),
                    StrCat(queue.encryption_location.ToString(), ": queue encryption"));
  return made;
}

deliver::ProgramDelivererOptions ProgramOptionsOf(const Runtime& runtime) {
  const policy::MdaLimits& limits = runtime.config().mda_limits;
  deliver::ProgramDelivererOptions options;
  options.max_programs = static_cast<size_t>(limits.max_session);
  options.max_programs_per_user = static_cast<size_t>(limits.max_session_per_user);
  return options;
}

}  // namespace postern::server
