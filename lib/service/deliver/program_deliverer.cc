#include "lib/service/deliver/program_deliverer.h"

#include <algorithm>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/core/mail/line_ends.h"
#include "lib/service/deliver/helper_jobs.h"
#include "lib/service/deliver/mail_file.h"
#include "lib/service/deliver/outcome.h"
#include "lib/store/queue/memory_body.h"

namespace postern::deliver {

using schedule::DeliveryResult;

namespace {
constexpr Duration kPauseWithoutMemory = absl::Milliseconds(100);
}  // namespace

ProgramDeliverer::ProgramDeliverer(rt::World& world, store::Queue& queue, TargetResolver& targets,
                                   ProgramDelivererOptions options, WrappedSink wrapped)
    : world_(world),
      loop_(world.main_loop()),
      queue_(queue),
      targets_(targets),
      options_(options),
      wrapped_(std::move(wrapped)),
      max_programs_(options.max_programs),
      max_programs_per_user_(options.max_programs_per_user),
      stop_(&loop_) {
  stop_timer_.owner = this;
  stop_timer_.run = [](rt::Timer* timer) {
    ProgramDeliverer* const self = static_cast<StopTimer*>(timer)->owner;
    self->stop_.Set();
    for (rt::Event* const each : self->awaiting_) each->Set();
  };
}

ProgramDeliverer::~ProgramDeliverer() { loop_.Disarm(&stop_timer_); }

void ProgramDeliverer::StopWithin(Duration grace) {
  if (stop_timer_.armed() || stop_.is_set()) return;
  loop_.Arm(&stop_timer_, loop_.Now() + grace);
}

rt::Task<std::vector<DeliveryResult>> ProgramDeliverer::Deliver(
    std::vector<queue::Envelope> batch) {
  std::vector<DeliveryResult> results;
  results.reserve(batch.size());
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
    size_t bytes = 0;
    Share(size_t* of, size_t share) : total(of) { Add(share); }
    ~Share() { *total -= bytes; }
    void Add(size_t more) {
      bytes += more;
      *total += more;
    }
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
    if (target.kind != LocalTarget::Kind::kProgram && !target.wrapped)
      return Unavailable("its action delivers in another way now");
    POSTERN_RETURN_IF_ERROR(ByTheSchedule(Prepare(*envelope, &body)));
    spec = ProgramFor(*envelope, target, options_.program);
    spec.input.reserve(share + 512);
    // An LMTP server writes those of final delivery itself.
    const bool final = target.kind != LocalTarget::Kind::kLmtp;
    return WriteMaildirText(final ? DeliveryHeaders(*envelope) : "", *body,
                            [&spec](std::string_view piece) {
                              spec.input.append(piece);
                              return OkStatus();
                            });
  });
  status = co_await prepare;
  if (!status.ok()) {
    co_return ResultOf(*envelope, status, options_.busy_retry);
  }
  body.reset();
  if (target.wrapped) {
    const size_t limit = HandBackLimit(share, options_.program);
    if (input_bytes_ > share && input_bytes_ + limit > options_.max_input_bytes) {
      co_return ResultOf(*envelope, Unavailable("too much mail is being handed to programs"),
                         options_.busy_retry);
    }
    taken.Add(limit);
    spec.hand_back_limit_bytes = limit;
  }
  spec.stop = &stop_;
  StatusOr<rt::ProcessResult> end = co_await Run(std::move(spec));
  if (!end.ok()) {
    // Not the program's word: we could not start it, whatever kind of failure that was.
    const bool busy = end.status().code() == StatusCode::kUnavailable && ErrnoOf(end.status()) == 0;
    co_return ResultOf(*envelope,
                       busy ? end.status() : Internal(std::string(Message(end.status()))),
                       options_.busy_retry);
  }
  // A wrapper that did not run %{mda}: what became of the message is its own affair.
  const bool kept = target.wrapped && !HandedBack(*end).has_value();
  // What a program did cannot be undone: without memory to say what became of it, it waits for
  // some, or the program would be run again.
  DeliveryResult result;
  for (bool told = false; !told;) {
    try {
      result = ProgramResult(*envelope, *end, options_.program);
      if (kept && result.outcome == DeliveryResult::Outcome::kDelivered)
        result.text = "Kept by the wrapper";
      told = true;
    } catch (const std::bad_alloc&) {
      if (stop_.is_set()) throw;
    }
    rt::Event never(&loop_);
    const Instant again = loop_.Now() + kPauseWithoutMemory;
    if (!told) (void)co_await never.Wait(again);
  }
  if (target.wrapped && !kept && result.outcome == DeliveryResult::Outcome::kDelivered)
    result = co_await DeliverWrapped(envelope, std::move(target), *std::move(end));
  co_return result;
}

rt::Task<DeliveryResult> ProgramDeliverer::DeliverWrapped(const queue::Envelope* envelope,
                                                          LocalTarget target,
                                                          rt::ProcessResult end) {
  const std::string_view text = HandedBack(end).value_or("");
  if (text.empty()) {
    // That of `cannot-be-found | %{mda}`: it is not what anybody meant to do with the message.
    co_return ResultOf(*envelope, Internal("the wrapper handed an empty message on"),
                       options_.busy_retry);
  }
  if (target.kind == LocalTarget::Kind::kLmtp) {
    queue::Envelope copy = *envelope;
    const bool eight_bit =
        std::any_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
    copy.sender.body = eight_bit ? mail::BodyType::k8BitMime : mail::BodyType::k7Bit;
    auto carried = std::make_shared<const store::MemoryBody>(mail::WithCrlf(text));
    std::string().swap(end.handed_back);
    DeliveryResult result = co_await wrapped_.by_lmtp(std::move(copy), std::move(carried));
    co_return result;
  }
  auto carried = std::make_shared<const store::MemoryBody>(std::string(text));
  std::string().swap(end.handed_back);
  Status outcome;
  auto deliver = loop_.RunBlocking(
      [&] { outcome = wrapped_.to_mailbox(*envelope, std::move(target), carried); });
  co_await deliver;
  co_return ResultOf(*envelope, outcome, options_.busy_retry);
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
