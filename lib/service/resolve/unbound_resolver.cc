#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <new>
#include <unbound.h>
#include <unordered_map>

#include <unbound-event.h>

#include "lib/core/base/strings.h"
#include "lib/core/dns/message.h"
#include "lib/service/resolve/resolver.h"
#include "lib/service/resolve/unbound_events.h"

namespace postern::resolve {
namespace {

constexpr int kClassIn = 1;

// Absent says whether libunbound's `error` is that the file it just tried to open does not exist.
bool Absent(int error) { return error == UB_READFILE && errno == ENOENT; }

// Question is one that is under way. It is shared by the asker, who may live on another loop and
// give up at its deadline, and by the main loop, which gets the answer. As a Job it goes from the
// one to the other and back.
// kSilentAfter is how long libunbound tries at least before a failure of its own means silence.
constexpr absl::Duration kSilentAfter = absl::Seconds(5);

struct Question : rt::Job {
  explicit Question(rt::Executor* asker_loop) : loop(asker_loop), done(asker_loop) {
    drop = [](rt::Job* job) { (void)Arrived(job); };
  }
  // Send posts `question` to `to`, where `then` gets it; Arrived is how it does.
  static void Send(const std::shared_ptr<Question>& question, rt::Executor* to,
                   void (*then)(rt::Job*)) noexcept {
    question->run = then;
    question->owner = question;
    to->PostJob(question.get());
  }
  static std::shared_ptr<Question> Arrived(rt::Job* job) noexcept {
    return std::move(static_cast<Question*>(job)->owner);
  }

  rt::Executor* loop;
  std::shared_ptr<Question> owner;  // while it is in a loop's queue
  std::shared_ptr<void> core;       // on the way to the main loop: whom to ask
  rt::Event done;                   // asker's loop
  dns::Answer answer;
  dns::Name name;
  dns::Type type = dns::Type::kA;
};

class UnboundResolver final : public Resolver {
 public:
  UnboundResolver(rt::Executor* main, const UnboundOptions& options)
      : main_(main),
        options_(options),
        question_timeout_ns_(absl::ToInt64Nanoseconds(options.question_timeout)),
        events_(main),
        core_(std::make_shared<Core>()) {}

  ~UnboundResolver() override { Stop(); }

  Status Start() {
    core_->context = ub_ctx_create_ub_event(events_.base());
    if (core_->context == nullptr) return Unavailable("libunbound cannot be set up");
    core_->max_questions = options_.max_questions;
    ub_ctx* context = core_->context;
    auto set = [context](const char* name, const std::string& value) -> Status {
      const int error = ub_ctx_set_option(context, name, value.c_str());
      if (error == 0) return OkStatus();
      return InvalidArgument(StrCat("libunbound: ", name, " ", value, ": ", ub_strerror(error)));
    };
    const std::string cache = StrCat(options_.cache_bytes);
    POSTERN_RETURN_IF_ERROR(set("msg-cache-size:", cache));
    POSTERN_RETURN_IF_ERROR(set("rrset-cache-size:", cache));
    POSTERN_RETURN_IF_ERROR(set("key-cache-size:", cache));
    POSTERN_RETURN_IF_ERROR(set("neg-cache-size:", StrCat(options_.cache_bytes / 4)));
    // One loop uses it: smaller tables, fewer ports held open.
    POSTERN_RETURN_IF_ERROR(set("num-queries-per-thread:", StrCat(options_.max_questions)));
    POSTERN_RETURN_IF_ERROR(set("outgoing-range:", "256"));
    POSTERN_RETURN_IF_ERROR(set("infra-cache-numhosts:", "2000"));
    POSTERN_RETURN_IF_ERROR(set("outbound-msg-retry:", StrCat(options_.tries)));
    if (!options_.forwarders.empty()) {
      for (const std::string& forwarder : options_.forwarders) {
        // The usual guard against asking ourselves would forbid a resolver on this machine.
        POSTERN_RETURN_IF_ERROR(set("do-not-query-localhost:", "no"));
        const int error = ub_ctx_set_fwd(context, forwarder.c_str());
        if (error != 0)
          return InvalidArgument(
              StrCat("forwarder \"", Escape(forwarder), "\": ", ub_strerror(error),
                     "; an IP address is wanted, such as 192.0.2.53, or with a port "
                     "192.0.2.53@5353"));
      }
    } else if (!options_.resolv_conf.empty()) {
      POSTERN_RETURN_IF_ERROR(set("do-not-query-localhost:", "no"));
      const int error = ub_ctx_resolvconf(context, options_.resolv_conf.c_str());
      if (error != 0 && !Absent(error))
        return InvalidArgument(StrCat(options_.resolv_conf, ": ", ub_strerror(error)));
    }
    if (!options_.forwarders.empty() || !options_.resolv_conf.empty()) {
      // libunbound answers itself, with NXDOMAIN, for the networks of RFC 1918 and the names of RFC
      // 6761, as a resolver on the Internet should. The servers that the operator names know better
      // what is on the operator's own network.
      POSTERN_RETURN_IF_ERROR(set("unblock-lan-zones:", "yes"));
      POSTERN_RETURN_IF_ERROR(set("insecure-lan-zones:", "yes"));
      for (const char* zone : {"test.", "home.arpa."}) {
        POSTERN_RETURN_IF_ERROR(set("local-zone:", StrCat(zone, " transparent")));
      }
    }
    if (!options_.hosts.empty()) {
      const int error = ub_ctx_hosts(context, options_.hosts.c_str());
      if (error != 0 && !Absent(error))
        return InvalidArgument(StrCat(options_.hosts, ": ", ub_strerror(error)));
    }
    if (!options_.trust_anchor_file.empty()) {
      const int error = ub_ctx_add_ta_file(context, options_.trust_anchor_file.c_str());
      if (error != 0)
        return InvalidArgument(StrCat(options_.trust_anchor_file, ": ", ub_strerror(error)));
    }
    return OkStatus();
  }

  rt::Task<dns::Answer> Resolve(rt::Executor& loop, dns::Name name, dns::Type type,
                                Instant deadline) override {
    const Instant asked = loop.Now();
    auto question = std::make_shared<Question>(&loop);
    question->name = std::move(name);
    question->type = type;
    question->core = core_;
    Question::Send(question, main_, [](rt::Job* job) {
      const std::shared_ptr<Question> arrived = Question::Arrived(job);
      const auto core = std::static_pointer_cast<Core>(std::move(arrived->core));
      core->AskOrFail(arrived);
    });
    const Instant bound =
        std::min(deadline, asked + absl::Nanoseconds(question_timeout_ns_.load()));
    const bool answered = co_await question->done.Wait(bound);
    if (!answered) {
      // The question goes on: its answer will be in the cache when it is asked again.
      co_return dns::Answer::Failure(dns::Answer::Kind::kTimeout, "no answer in time");
    }
    // libunbound calls it SERVFAIL too when it has given up on servers that said nothing: that
    // takes it far longer than to read a SERVFAIL and to ask the others.
    dns::Answer answer = std::move(question->answer);
    const absl::Duration waited = loop.Now() - asked;
    if (answer.kind == dns::Answer::Kind::kServFail && waited >= kSilentAfter &&
        answer.security != dns::Answer::Security::kBogus) {
      answer.kind = dns::Answer::Kind::kTimeout;
      answer.detail =
          StrCat("no server answered within ", absl::ToInt64Seconds(waited), " seconds");
    }
    co_return answer;
  }

  void SetQuestionTimeout(Duration timeout) override {
    question_timeout_ns_ = absl::ToInt64Nanoseconds(timeout);
  }

  void Stop() override {
    if (core_->context == nullptr) return;
    ub_ctx* context = std::exchange(core_->context, nullptr);
    // libunbound drops its questions without a word: their askers are told here.
    ub_ctx_delete(context);
    std::unordered_map<uint64_t, std::shared_ptr<Question>> open;
    open.swap(core_->open);
    for (auto& [id, question] : open) Core::Fail(question, "the resolver was stopped");
  }

 private:
  // Core is the part on the main loop. libunbound's callbacks find it through the Call they were
  // given.
  struct Core : std::enable_shared_from_this<Core> {
    ub_ctx* context = nullptr;
    size_t max_questions = 0;
    uint64_t next_id = 1;
    std::unordered_map<uint64_t, std::shared_ptr<Question>> open;

    // Call is what libunbound holds for us. It is freed by the callback, which comes once, or at
    // the latest with the Core.
    struct Call {
      Core* core;
      uint64_t id;
    };
    std::unordered_map<uint64_t, std::unique_ptr<Call>> calls;

    static void Finish(const std::shared_ptr<Question>& question, dns::Answer answer) noexcept {
      question->answer = std::move(answer);
      Question::Send(question, question->loop,
                     [](rt::Job* job) { Question::Arrived(job)->done.Set(); });
    }
    // Fail is Finish with a failure; without memory for `why` it goes unsaid.
    static void Fail(const std::shared_ptr<Question>& question, const char* why) noexcept {
      dns::Answer answer;
      answer.kind = dns::Answer::Kind::kServFail;
      try {
        answer.detail = why;
      } catch (const std::bad_alloc&) {
      }
      Finish(question, std::move(answer));
    }

    void AskOrFail(const std::shared_ptr<Question>& question) noexcept {
      const uint64_t id = next_id++;
      try {
        Ask(question, id);
      } catch (const std::bad_alloc&) {
        // It did not come to libunbound.
        open.erase(id);
        Fail(question, "out of memory");
      }
    }

    void Ask(const std::shared_ptr<Question>& question, uint64_t id) {
      if (context == nullptr) {
        Fail(question, "the resolver was stopped");
        return;
      }
      if (open.size() >= max_questions) {
        Fail(question, "too many questions under way");
        return;
      }
      const std::string text = question->name.is_root() ? "." : question->name.ToString() + ".";
      auto call = std::make_unique<Call>(Call{this, id});
      Call* raw = call.get();
      open.emplace(id, question);
      calls.emplace(id, std::move(call));
      // The callback may come before this returns (for names of the hosts file).
      const int error = ub_resolve_event(context, text.c_str(), static_cast<int>(question->type),
                                         kClassIn, raw, &Core::OnAnswer, nullptr);
      if (error != 0 && open.erase(id) != 0) {
        calls.erase(id);
        Fail(question, ub_strerror(error));
      }
    }

    static void OnAnswer(void* argument, int rcode, void* packet, int size, int security,
                         char* why_bogus, int) {
      auto* call = static_cast<Call*>(argument);
      Core* core = call->core;
      const uint64_t id = call->id;
      const auto it = core->open.find(id);
      if (it == core->open.end()) return;
      const std::shared_ptr<Question> question = it->second;
      core->open.erase(it);
      core->calls.erase(id);
      // The caller is C.
      try {
        Finish(question, Read(*question, rcode, packet, size, security, why_bogus));
      } catch (const std::exception&) {
        Fail(question, "out of memory");
      }
    }

    static dns::Answer Read(const Question& question, int rcode, const void* packet, int size,
                            int security, const char* why_bogus) {
      if (security == 1) {
        dns::Answer answer = dns::Answer::Failure(
            dns::Answer::Kind::kServFail,
            why_bogus == nullptr ? std::string("DNSSEC: bogus") : Escape(why_bogus, 512));
        answer.security = dns::Answer::Security::kBogus;
        return answer;
      }
      if (rcode == 3) {
        dns::Answer answer = dns::Answer::Failure(dns::Answer::Kind::kNxDomain, "");
        answer.name = question.name;
        if (security == 2) answer.security = dns::Answer::Security::kSecure;
        return answer;
      }
      // With any other rcode the packet is not for reading (unbound-event.h); with none, its own
      // rcode counts.
      if (rcode != 0 || packet == nullptr || size <= 0)
        return dns::Answer::Failure(dns::Answer::Kind::kServFail, StrCat("rcode ", rcode));
      StatusOr<dns::WireMessage> message = dns::ParseMessage(
          std::string_view(static_cast<const char*>(packet), static_cast<size_t>(size)));
      if (!message.ok())
        return dns::Answer::Failure(dns::Answer::Kind::kServFail,
                                    std::string(Message(message.status())));
      dns::Answer answer = dns::AnswerFrom(*message, question.name, question.type);
      if (security == 2) answer.security = dns::Answer::Security::kSecure;
      return answer;
    }
  };

  rt::Executor* main_;
  UnboundOptions options_;
  std::atomic<int64_t> question_timeout_ns_;
  UnboundEvents events_;
  std::shared_ptr<Core> core_;
};

}  // namespace

StatusOr<std::unique_ptr<Resolver>> NewUnboundResolver(rt::World& world,
                                                       const UnboundOptions& options) {
  auto resolver = std::make_unique<UnboundResolver>(&world.main_loop(), options);
  POSTERN_RETURN_IF_ERROR(resolver->Start());
  return std::unique_ptr<Resolver>(std::move(resolver));
}

}  // namespace postern::resolve
