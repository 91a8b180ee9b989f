#include "lib/core/trust/arc_verify.h"

#include "lib/core/base/strings.h"
#include "lib/core/mail/people_text.h"
#include "lib/core/message/header_field.h"

namespace postern::trust {

const char* ArcResultName(ArcResult result) {
  switch (result) {
    case ArcResult::kNone: return "none";
    case ArcResult::kPass: return "pass";
    case ArcResult::kFail: return "fail";
    case ArcResult::kTempError: return "temperror";
  }
  return "fail";
}

namespace {

void Say(ArcVerdict* verdict, ArcResult result, std::string_view reason, std::string_view why) {
  verdict->result = result;
  verdict->reason = std::string(reason);
  verdict->explanation = StrCat("ARC ", ArcResultName(result), ": ", why);
}

}  // namespace

ArcVerifier::ArcVerifier(ArcVerifyOptions options) : options_(std::move(options)) {}
ArcVerifier::~ArcVerifier() = default;

void ArcVerifier::OnUnreadable(const char* reason, std::string why) {
  Say(&verdict_, ArcResult::kFail, reason, why);
}

void ArcVerifier::OnHeader(const HeaderFields& header, BodyHasher& body) {
  header_ = &header;
  body_ = &body;
  chain_ = ReadArcChain(header, options_.signature);
  body_numbers_.reserve(chain_.sets.size());
  for (const ArcSet& set : chain_.sets)
    body_numbers_.push_back(body.Want(set.message.body_canonicalization, set.message.body_length));
}

dns::Inquiry<ArcVerdict> ArcVerifier::Check() {
  if (!verdict_.reason.empty()) co_return std::move(verdict_);
  if (chain_.field_count == 0) {
    Say(&verdict_, ArcResult::kNone, "no_chain", "the message has no ARC sets");
    co_return std::move(verdict_);
  }
  verdict_.instances = chain_.newest_instance;
  if (!chain_.ok()) {
    Say(&verdict_, ArcResult::kFail, chain_.fault, chain_.explanation);
    co_return std::move(verdict_);
  }
  // The questions, each name once: for set i the keys of its message signature and of its seal.
  std::vector<dns::Question> questions;
  const auto ask_for = [&questions](const DkimSignature& signature) {
    std::optional<dns::Name> name = KeyName(signature);
    if (!name) return SIZE_MAX;
    for (size_t i = 0; i < questions.size(); ++i) {
      if (questions[i].name == *name) return i;
    }
    questions.push_back(dns::Question{std::move(*name), dns::Type::kTxt});
    return questions.size() - 1;
  };
  std::vector<size_t> message_question, seal_question;
  for (const ArcSet& set : chain_.sets) {
    message_question.push_back(ask_for(set.message));
    seal_question.push_back(ask_for(set.seal));
  }
  dns::AskAll ask{questions};
  const std::vector<dns::Answer> answers = co_await std::move(ask);

  using Kind = KeyJudgement::Kind;
  const auto judge = [&](const DkimSignature& signature, size_t question, const Digest& digest) {
    if (question == SIZE_MAX) {
      KeyJudgement judgement;
      judgement.reason = "no_key";
      judgement.explanation = "selector and domain make no name in the DNS";
      return judgement;
    }
    return JudgeKey(signature, questions[question].name, answers[question], digest,
                    /*body_differs=*/false, /*check_identity=*/false, options_.check,
                    options_.key_cache);
  };
  std::string first_reason, first_fault;  // of the newest failure, which decides
  bool temporary = false;
  const auto failed = [&](const KeyJudgement& judgement, std::string_view what, uint32_t instance) {
    if (!first_fault.empty()) return;
    temporary = judgement.kind == Kind::kTemporary;
    first_reason =
        judgement.kind == Kind::kDiffers ? StrCat(what, "_differs") : std::string(judgement.reason);
    first_fault = StrCat(
        "the ", what == "seal" ? "ARC-Seal" : "ARC-Message-Signature", " i=", instance,
        judgement.kind == Kind::kDiffers ? " differs; what it covers was changed after sealing"
                                         : StrCat(" cannot be checked: ", judgement.explanation));
  };

  const size_t count = chain_.sets.size();
  verdict_.sets.resize(count);
  verdict_.oldest_pass = 0;
  bool all_newer_hold = true;
  // §5.2 steps 4 and 5: message signatures from the newest down; only the newest must hold.
  for (size_t i = count; i-- > 0;) {
    const ArcSet& set = chain_.sets[i];
    ArcSetVerdict& told = verdict_.sets[i];
    told.instance = set.instance;
    told.domain = set.seal.domain;
    told.selector = set.seal.selector;
    told.message_domain = set.message.domain;
    told.results = message::Unfold(set.results);
    const bool newest = i + 1 == count;
    if (!newest && !all_newer_hold) continue;
    const Digest* body = body_->digest(body_numbers_[i]);
    if (body == nullptr || DigestView(*body) != set.message.body_hash) {
      if (newest) {
        first_reason = "body_hash_differs";
        first_fault = StrCat("body hash differs; the message was changed after the newest set (i=",
                             set.instance, ") was added");
      }
    } else {
      const Digest digest = HashSignedFields(*header_, set.message, set.message_index);
      const KeyJudgement judgement = judge(set.message, message_question[i], digest);
      told.message_good = judgement.kind == Kind::kGood;
      if (newest && !told.message_good) failed(judgement, "message_signature", set.instance);
    }
    if (all_newer_hold && !told.message_good) {
      all_newer_hold = false;
      if (!newest) verdict_.oldest_pass = chain_.sets[i + 1].instance;
    }
  }
  // §5.2 step 6: every seal, from the newest down. The hash of the first is a beginning of the
  // second's, so that all of them cost one pass over the sets.
  std::vector<Digest> digests;
  Sha256 running;
  std::string text;
  for (const ArcSet& set : chain_.sets) {
    text.clear();
    AppendSealedSet(*header_, set, /*last=*/true, text);
    Sha256 here = running;
    here.Update(text);
    digests.push_back(here.Finish());
    text.clear();
    AppendSealedSet(*header_, set, /*last=*/false, text);
    running.Update(text);
  }
  for (size_t i = count; i-- > 0;) {
    const ArcSet& set = chain_.sets[i];
    const KeyJudgement judgement = judge(set.seal, seal_question[i], digests[i]);
    verdict_.sets[i].seal_good = judgement.kind == Kind::kGood;
    if (!verdict_.sets[i].seal_good) {
      failed(judgement, "seal", set.instance);
      // What is broken stays broken: the older seals are not worth their keys.
      break;
    }
  }
  if (!first_fault.empty()) {
    Say(&verdict_, temporary ? ArcResult::kTempError : ArcResult::kFail, first_reason, first_fault);
    co_return std::move(verdict_);
  }
  std::string why =
      StrCat("a whole chain of ", count, count == 1 ? " set" : " sets", ", the newest of ",
             mail::EscapeForPeople(chain_.sets.back().seal.domain, 255));
  if (verdict_.oldest_pass != 0) {
    StrAppend(why, "; the message was changed before set i=", verdict_.oldest_pass, " was added");
  }
  Say(&verdict_, ArcResult::kPass, "good", why);
  co_return std::move(verdict_);
}

dns::Inquiry<ArcVerdict> CheckArc(std::string message, MessageScanOptions scan_options,
                                  ArcVerifyOptions options) {
  ArcVerifier verifier(std::move(options));
  MessageScan scan({&verifier}, scan_options);
  scan.Feed(message);
  scan.Finish();
  dns::Inquiry<ArcVerdict> check = verifier.Check();
  ArcVerdict verdict = co_await std::move(check);
  co_return std::move(verdict);
}

}  // namespace postern::trust
