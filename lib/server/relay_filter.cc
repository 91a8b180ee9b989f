#include "lib/server/relay_filter.h"

#include <span>
#include <utility>

#include "lib/core/base/strings.h"
#include "lib/server/runtime.h"
#include "lib/service/filter/passage.h"
#include "lib/service/smtp/backend.h"

namespace postern::server {
namespace {

using service::ContentSpool;

constexpr size_t kPieceBytes = 64 * 1024;
// What a message gains by a filter beyond the largest that is let in.
constexpr uint64_t kMoreBytes = 4 << 20;

// BodySource gives a queued message in pieces.
class BodySource final : public service::ContentSource {
 public:
  BodySource(rt::Executor* loop, std::shared_ptr<const store::Body> body)
      : loop_(loop), body_(std::move(body)) {}
  rt::Task<StatusOr<std::string_view>> Next() override {
    if (const std::optional<std::string_view> memory = body_->InMemory()) {
      const std::string_view piece = memory->substr(static_cast<size_t>(offset_), kPieceBytes);
      offset_ += piece.size();
      co_return piece;
    }
    if (offset_ >= body_->size_bytes()) co_return std::string_view();
    piece_.resize(kPieceBytes);
    auto read = loop_->RunBlocking(
        [this] { return body_->ReadAt(offset_, std::span<char>(piece_.data(), piece_.size())); });
    const StatusOr<size_t> got = co_await read;
    if (!got.ok()) co_return got.status();
    if (*got == 0) co_return DataLoss("message is shorter than the queue says");
    offset_ += *got;
    co_return std::string_view(piece_.data(), *got);
  }

 private:
  rt::Executor* loop_;
  const std::shared_ptr<const store::Body> body_;
  uint64_t offset_ = 0;
  std::string piece_;
};

// FilteredBody is what came out of the filter.
class FilteredBody final : public store::Body {
 public:
  explicit FilteredBody(std::shared_ptr<const ContentSpool> spool) : spool_(std::move(spool)) {}
  uint64_t size_bytes() const override { return spool_->size_bytes(); }
  std::optional<std::string_view> InMemory() const override { return spool_->InMemory(); }
  StatusOr<size_t> ReadAt(uint64_t offset, std::span<char> into) const override {
    return spool_->ReadAt(offset, into);
  }

 private:
  const std::shared_ptr<const ContentSpool> spool_;
};

// FactsOf gives the session that brought `envelope`, as far as the queue remembers it.
service::SmtpSessionFacts FactsOf(const Runtime& runtime, const queue::Envelope& envelope,
                                  std::string id) {
  auto options = std::make_shared<smtp::ServerOptions>();
  options->hostname = runtime.server_name();
  auto listener = std::make_shared<service::SmtpListener>();
  listener->options = std::move(options);
  listener->name = "relay";
  listener->tag = envelope.tag;
  listener->is_local_socket = envelope.internal || envelope.client.is_unix();
  service::SmtpSessionFacts facts;
  facts.id = std::move(id);
  facts.listener = std::move(listener);
  facts.remote = envelope.client;
  facts.extended = true;
  facts.helo = envelope.helo.empty() ? runtime.server_name() : envelope.helo;
  facts.auth_user = envelope.username;
  // The queue keeps a name that led back to the client, and none else.
  if (!envelope.client_name.empty() && envelope.client_name.front() != '<') {
    facts.reverse_name = envelope.client_name;
    facts.reverse_confirmed = true;
  }
  return facts;
}

rt::Task<relay::OutgoingVerdict> Pass(std::shared_ptr<const Runtime> runtime, int filter,
                                      FilterPlace place, queue::Envelope first,
                                      relay::Outgoing outgoing) {
  rt::Executor* const loop = &place.world->main_loop();
  const service::SmtpSessionFacts facts =
      FactsOf(*runtime, first, Hex(place.world->random().Next(), 16));
  const std::unique_ptr<service::SessionFilter> chain =
      MakeNamedFilter(loop, runtime, filter, facts, place);
  service::ContentSpoolOptions options;
  options.directory = place.spool;
  options.limit_bytes = std::max<uint64_t>(
      static_cast<uint64_t>(runtime->config().smtp.max_message_bytes), outgoing.text->size_bytes());
  options.limit_bytes += kMoreBytes;
  const auto spool = std::make_shared<ContentSpool>(loop, &place.world->files(), std::move(options),
                                                    StrCat("relay.", facts.id));
  BodySource source(loop, outgoing.text);
  service::PassageRequest request;
  request.facts = &facts;
  request.message_id = queue::MessageIdText(first.message_id());
  request.sender = outgoing.sender;
  request.recipients = std::move(outgoing.recipients);
  request.envelopes = std::move(outgoing.envelopes);
  service::PassageResult passed =
      co_await service::PassMessage(chain.get(), std::move(request), &source, spool.get());

  relay::OutgoingVerdict verdict;
  verdict.outgoing.sender = std::move(passed.sender);
  if (passed.content_passed) {
    verdict.outgoing.text = std::make_shared<const FilteredBody>(spool);
    if (passed.eight_bit && verdict.outgoing.sender.body == mail::BodyType::k7Bit)
      verdict.outgoing.sender.body = mail::BodyType::k8BitMime;
  } else {
    verdict.outgoing.text = std::move(outgoing.text);
  }
  for (service::PassageRecipient& each : passed.recipients) {
    verdict.outgoing.recipients.push_back(std::move(each.path));
    verdict.fates.push_back(std::move(each.fate));
  }
  if (!passed.decided_by.empty()) {
    place.log->Write(LogRecord{.level = LogLevel::kInfo,
                               .subsystem = "mta",
                               .session = facts.id,
                               .event = "filtered",
                               .fields = {{"msgid", queue::MessageIdText(first.message_id())},
                                          {"filter", std::move(passed.decided_by)}}});
  }
  co_return verdict;
}

}  // namespace

relay::OutgoingFilter RelayFilterFor(std::shared_ptr<const Runtime> runtime,
                                     const policy::Action& action, const FilterPlace& place) {
  return [runtime = std::move(runtime), filter = action.relay.filter, place](
             queue::Envelope first, relay::Outgoing outgoing) {
    return Pass(runtime, filter, place, std::move(first), std::move(outgoing));
  };
}

}  // namespace postern::server
