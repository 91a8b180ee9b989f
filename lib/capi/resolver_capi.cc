#include "lib/capi/resolver_capi.h"

#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/dns/zone.h"
#include "lib/rt/asio/asio_world.h"
#include "lib/service/resolve/resolver.h"

struct postern_dns_answer {
  postern::dns::Question question;
  postern::dns::Answer answer;
};

namespace {

using postern::OkStatus;
using postern::Status;
using postern::StatusOr;
using postern::StrCat;
using postern::capi::CString;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
using postern::capi::OnFree;
using postern::capi::TakeStruct;
namespace dns = postern::dns;
namespace resolve = postern::resolve;
namespace rt = postern::rt;

constexpr uint32_t kDefaultTimeoutMs = 20000;  // RFC 7208 §4.6.4
constexpr uint32_t kMaxQuestionTimeoutMs = 60000;

struct ZoneAnswers final : postern_resolver {
  explicit ZoneAnswers(dns::ZoneData data) : zone(std::move(data)) {}
  postern_status Ask(const std::vector<dns::Question>& questions,
                     std::vector<dns::Answer>* answers) override {
    for (const dns::Question& question : questions)
      answers->push_back(zone.Query(question.name, question.type));
    return POSTERN_OK;
  }
  dns::ZoneData zone;
};

struct CallbackAnswers final : postern_resolver {
  postern_status Ask(const std::vector<dns::Question>& questions,
                     std::vector<dns::Answer>* answers) override {
    for (const dns::Question& question : questions) {
      postern_dns_answer filled{question, {}};
      filled.answer.kind = dns::Answer::Kind::kNoData;
      filled.answer.name = question.name;
      const std::string name = question.name.ToString();
      const postern_status status = callbacks.on_query(
          name.c_str(), static_cast<uint16_t>(question.type), &filled, callbacks.user_data);
      if (status != POSTERN_OK) return status;
      answers->push_back(std::move(filled.answer));
    }
    return POSTERN_OK;
  }
  postern_resolver_callbacks callbacks{};
  OnFree free_data;
};

rt::Task<void> AskOne(resolve::Resolver* resolver, rt::Executor* loop, dns::Question question,
                      postern::Instant deadline, dns::Answer* answer) {
  *answer = co_await resolver->Resolve(*loop, question.name, question.type, deadline);
}

// Its world is polled only while a question is asked: no thread, and nothing runs between checks.
struct SystemAnswers final : postern_resolver {
  SystemAnswers()
      : world(rt::AsioWorldOptions{.workers = 1, .pool_threads = 1, .no_threads = true}) {}
  ~SystemAnswers() override {
    if (resolver != nullptr) resolver->Stop();
  }
  void Begin() override { deadline = world.clock().Now() + absl::Milliseconds(timeout_ms); }
  postern_status Ask(const std::vector<dns::Question>& questions,
                     std::vector<dns::Answer>* answers) override {
    answers->resize(questions.size());
    std::exception_ptr failure;
    rt::TaskGroup tasks([&failure](std::exception_ptr thrown) { failure = std::move(thrown); });
    try {
      for (size_t i = 0; i < questions.size(); ++i)
        tasks.Spawn(
            AskOne(resolver.get(), &world.main_loop(), questions[i], deadline, &(*answers)[i]));
    } catch (const std::bad_alloc&) {
      failure = std::current_exception();
    }
    // Those that were asked end by their deadline, and write here until then.
    while (tasks.running() > 0) {
      try {
        world.Poll(absl::Milliseconds(100));
      } catch (const std::bad_alloc&) {
        failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
    return POSTERN_OK;
  }
  rt::AsioWorld world;
  std::unique_ptr<resolve::Resolver> resolver;
  uint32_t timeout_ms = kDefaultTimeoutMs;
  postern::Instant deadline;
};

postern_status TooNew(postern_error** out_error, const char* what) {
  return Fail(out_error, POSTERN_ERR_VERSION, "version",
              StrCat(what, " has an option that this library does not know"));
}

}  // namespace

extern "C" {

postern_status postern_resolver_new_zone(postern_resolver** out, const char* zone_text,
                                         size_t zone_text_len, postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    StatusOr<dns::ZoneData> zone =
        dns::ZoneData::Parse(std::string_view(zone_text_len == 0 ? "" : zone_text, zone_text_len));
    if (!zone.ok()) return FailWith(out_error, zone.status());
    *out = new ZoneAnswers(*std::move(zone));
    return POSTERN_OK;
  });
}

postern_status postern_resolver_new_system(postern_resolver** out,
                                           const postern_resolver_options* options,
                                           postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    postern_resolver_options given;
    if (!TakeStruct(&given, POSTERN_RESOLVER_OPTIONS_INIT, options))
      return TooNew(out_error, "postern_resolver_options");
    auto made = std::make_unique<SystemAnswers>();
    resolve::UnboundOptions unbound;
    if (given.resolv_conf != nullptr) unbound.resolv_conf = given.resolv_conf;
    for (const std::string_view server : postern::SplitWords(CString(given.forwarders)))
      unbound.forwarders.emplace_back(server);
    if (given.timeout_ms != 0) made->timeout_ms = given.timeout_ms;
    if (given.question_timeout_ms > kMaxQuestionTimeoutMs)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
                  StrCat("question_timeout_ms is ", given.question_timeout_ms, ", and at most ",
                         kMaxQuestionTimeoutMs));
    if (given.question_timeout_ms != 0)
      unbound.question_timeout = absl::Milliseconds(given.question_timeout_ms);
    StatusOr<std::unique_ptr<resolve::Resolver>> resolver =
        resolve::NewUnboundResolver(made->world, unbound);
    if (!resolver.ok()) return FailWith(out_error, resolver.status());
    made->resolver = *std::move(resolver);
    *out = made.release();
    return POSTERN_OK;
  });
}

postern_status postern_resolver_new_callback(postern_resolver** out,
                                             const postern_resolver_callbacks* callbacks,
                                             postern_error** out_error) {
  *out = nullptr;
  return Guard(out_error, [&]() -> postern_status {
    auto made = std::make_unique<CallbackAnswers>();
    if (!TakeStruct(&made->callbacks, POSTERN_RESOLVER_CALLBACKS_INIT, callbacks))
      return TooNew(out_error, "postern_resolver_callbacks");
    made->free_data = OnFree(made->callbacks.destroy_user_data, made->callbacks.user_data);
    if (made->callbacks.on_query == nullptr)
      return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "invalid-argument",
                  "on_query is missing");
    *out = made.release();
    return POSTERN_OK;
  });
}

void postern_resolver_free(postern_resolver* resolver) { delete resolver; }

postern_status postern_dns_answer_add(postern_dns_answer* answer, const char* text,
                                      size_t text_len) {
  return Guard(nullptr, [&]() -> postern_status {
    // A zone of one record reads what a zone file may hold, quotes and escapes too.
    const dns::Question& question = answer->question;
    const StatusOr<dns::ZoneData> zone =
        dns::ZoneData::Parse(StrCat("owner. 0 IN ", dns::TypeName(question.type), " ",
                                    std::string_view(text_len == 0 ? "" : text, text_len), "\n"));
    if (!zone.ok() || zone->record_count() != 1) return POSTERN_ERR_INVALID_ARGUMENT;
    dns::Answer found = zone->Query(*dns::Name::Parse("owner."), question.type);
    if (!found.ok()) return POSTERN_ERR_INVALID_ARGUMENT;
    found.records.front().name = question.name;
    answer->answer.kind = dns::Answer::Kind::kOk;
    answer->answer.records.push_back(std::move(found.records.front()));
    return POSTERN_OK;
  });
}

postern_status postern_dns_answer_add_octets(postern_dns_answer* answer, const void* octets,
                                             size_t len) {
  return Guard(nullptr, [&]() -> postern_status {
    const std::string_view data(len == 0 ? "" : static_cast<const char*>(octets), len);
    std::optional<dns::Data> parsed = dns::ParseRdata(answer->question.type, data, 0, len);
    if (!parsed) return POSTERN_ERR_INVALID_ARGUMENT;
    answer->answer.kind = dns::Answer::Kind::kOk;
    answer->answer.records.push_back(
        dns::Record{answer->question.name, answer->question.type, 0, *std::move(parsed)});
    return POSTERN_OK;
  });
}

void postern_dns_answer_set_failure(postern_dns_answer* answer, int32_t failure) {
  using Kind = dns::Answer::Kind;
  answer->answer.records.clear();
  answer->answer.kind = failure == POSTERN_DNS_NO_DATA     ? Kind::kNoData
                        : failure == POSTERN_DNS_NX_DOMAIN ? Kind::kNxDomain
                        : failure == POSTERN_DNS_TIMEOUT   ? Kind::kTimeout
                                                           : Kind::kServFail;
}

}  // extern "C"
