#include "lib/service/deliver/program_deliverer.h"

#include <utility>

#include "lib/core/base/strings.h"
#include "lib/service/deliver/helper_jobs.h"
#include "lib/service/deliver/mail_file.h"
#include "lib/service/deliver/outcome.h"

namespace postern::deliver {

using schedule::DeliveryResult;

ProgramDeliverer::ProgramDeliverer(rt::World& world, store::Queue& queue, TargetResolver& targets,
                                   ProgramDelivererOptions options)
    : world_(world),
      loop_(world.main_loop()),
      queue_(queue),
      targets_(targets),
      options_(options),
      max_programs_(options.max_programs),
      max_programs_per_user_(options.max_programs_per_user),
      stop_(&loop_) {}

ProgramDeliverer::~ProgramDeliverer() {
  if (stop_timer_ != 0) loop_.CancelTimer(stop_timer_);
}

void ProgramDeliverer::Stop() {
  if (stop_timer_ != 0 || stop_.is_set()) return;
  stop_timer_ = loop_.CallAt(loop_.Now() + options_.stop_grace, [this] {
    stop_timer_ = 0;
    stop_.Set();
    for (rt::Event* const each : awaiting_) each->Set();
  });
}

rt::Task<std::vector<DeliveryResult>> ProgramDeliverer::Deliver(
    std::vector<queue::Envelope> batch) {
  std::vector<DeliveryResult> results;
  for (const queue::Envelope& envelope : batch) {
    DeliveryResult result = co_await DeliverOne(&envelope);
    results.push_back(std::move(result));
  }
  co_return results;
}

rt::Task<DeliveryResult> ProgramDeliverer::DeliverOne(const queue::Envelope* envelope) {
  StatusOr<std::shared_ptr<const store::Body>> opened =
      co_await queue_.OpenBody(loop_, envelope->message_id());
  if (!opened.ok()) {
    co_return ResultOf(*envelope, DataLoss(std::string(Message(opened.status()))),
                       options_.busy_retry);
  }
  std::shared_ptr<const store::Body> body = *std::move(opened);
  const size_t share = static_cast<size_t>(body->size_bytes());
  if (input_bytes_ > 0 && input_bytes_ + share > options_.max_input_bytes) {
    co_return ResultOf(*envelope, Unavailable("too much mail is being handed to programs"),
                       options_.busy_retry);
  }
  struct Share {
    size_t* total;
    size_t bytes;
    Share(size_t* of, size_t share) : total(of), bytes(share) { *total += bytes; }
    ~Share() { *total -= bytes; }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
  } taken(&input_bytes_, share);
  LocalTarget target;
  rt::ProcessSpec spec;
  Status status;
  std::optional<StatusOr<LocalTarget>> asked;
  if (targets_.MayWait(*envelope)) {
    auto ask = loop_.RunOutside([&] { asked = targets_.ResolveTarget(*envelope); });
    co_await ask;
  }
  auto prepare = loop_.RunBlocking([&]() -> Status {
    StatusOr<LocalTarget> found =
        asked.has_value() ? *std::move(asked) : targets_.ResolveTarget(*envelope);
    if (!found.ok()) return ByTheSchedule(found.status());
    target = *std::move(found);
    if (target.kind != LocalTarget::Kind::kProgram)
      return Unavailable("its action delivers in another way now");
    POSTERN_RETURN_IF_ERROR(ByTheSchedule(Prepare(*envelope, &body)));
    spec = ProgramFor(*envelope, target, options_.program);
    spec.input.reserve(share + 512);
    return WriteMaildirText(DeliveryHeaders(*envelope), *body, [&spec](std::string_view piece) {
      spec.input.append(piece);
      return OkStatus();
    });
  });
  status = co_await prepare;
  if (!status.ok()) {
    co_return ResultOf(*envelope, status, options_.busy_retry);
  }
  body.reset();
  spec.stop = &stop_;
  StatusOr<rt::ProcessResult> end = co_await Run(std::move(spec));
  if (!end.ok()) {
    // Not the program's word: we could not start it, whatever kind of failure that was.
    const bool busy = end.status().code() == StatusCode::kUnavailable && ErrnoOf(end.status()) == 0;
    co_return ResultOf(*envelope,
                       busy ? end.status() : Internal(std::string(Message(end.status()))),
                       options_.busy_retry);
  }
  co_return ProgramResult(*envelope, *end, options_.program);
}

rt::Task<StatusOr<rt::ProcessResult>> ProgramDeliverer::Run(rt::ProcessSpec spec) {
  rt::Helper* const helper = world_.helper();
  if (helper == nullptr || !spec.run_as.has_value()) {
    StatusOr<rt::ProcessResult> end = co_await world_.processes().Run(loop_, std::move(spec));
    co_return end;
  }
  const rt::HelperCall call = ProgramCall(spec);
  auto begin = loop_.RunBlocking([helper, &call] { return helper->Begin(call); });
  StatusOr<std::unique_ptr<rt::HelperAnswer>> answer = co_await begin;
  if (!answer.ok()) co_return answer.status();
  std::string().swap(spec.input);
  // The helper has the time limit; here is only what it takes to tell of it.
  const Duration limit = spec.time_limit + absl::Seconds(10);
  rt::HelperAnswer* const awaited = answer->get();
  co_await AwaitAnswer(awaited, limit);
  if (!awaited->Take()) {
    rt::ProcessResult stopped;
    stopped.timed_out = true;
    co_return stopped;
  }
  StatusOr<rt::ProcessResult> end = ProgramOutcome(awaited->Result());
  co_return end;
}

rt::Task<void> ProgramDeliverer::AwaitAnswer(rt::HelperAnswer* answer, Duration limit) {
  // One event for both: the answer, and the stop.
  rt::Event come(&loop_);
  const Instant deadline = loop_.Now() + limit;
  const std::unique_ptr<rt::FdWatch> watch =
      loop_.WatchFd(answer->descriptor(), {.read = true}, [&](rt::FdInterest) {
        if (answer->Take()) come.Set();
      });
  awaiting_.insert(&come);
  if (stop_.is_set()) come.Set();
  co_await come.Wait(deadline);
  awaiting_.erase(&come);
}

}  // namespace postern::deliver
