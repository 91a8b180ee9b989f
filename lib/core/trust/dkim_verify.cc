#include "lib/core/trust/dkim_verify.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/people_text.h"

namespace postern::trust {

// Candidate is a signature whose key is wanted.
struct DkimVerifier::Candidate {
  size_t index = 0;  // of verdict_.signatures
  int body = -1;     // number of the body hash
  dns::Name key_name;
  size_t question = 0;
};

const char* DkimResultName(DkimResult result) {
  switch (result) {
    case DkimResult::kNone: return "none";
    case DkimResult::kPass: return "pass";
    case DkimResult::kFail: return "fail";
    case DkimResult::kPolicy: return "policy";
    case DkimResult::kNeutral: return "neutral";
    case DkimResult::kTempError: return "temperror";
    case DkimResult::kPermError: return "permerror";
  }
  return "permerror";
}

namespace {

void Say(DkimSignatureVerdict* verdict, DkimResult result, const char* reason,
         std::string_view why) {
  verdict->result = result;
  verdict->reason = reason;
  std::string& text = verdict->explanation;
  text.clear();
  text.reserve(32 + why.size());
  StrAppend(text, "DKIM ", DkimResultName(result), ": ", why);
}

// Rank orders results by how much they say of a message: the best signature speaks for it.
int Rank(DkimResult result) {
  switch (result) {
    case DkimResult::kPass: return 6;
    case DkimResult::kTempError: return 5;  // asking again may bring a pass
    case DkimResult::kFail: return 4;
    case DkimResult::kPolicy: return 3;
    case DkimResult::kNeutral: return 2;
    case DkimResult::kPermError: return 1;
    case DkimResult::kNone: return 0;
  }
  return 0;
}

}  // namespace

DkimVerifier::DkimVerifier(DkimVerifyOptions options) : options_(std::move(options)) {}
DkimVerifier::~DkimVerifier() = default;

void DkimVerifier::OnUnreadable(const char* reason, std::string why) {
  verdict_.result = DkimResult::kPolicy;
  verdict_.reason = reason;
  verdict_.explanation = StrCat("DKIM policy: ", why);
}

void DkimVerifier::OnHeader(const HeaderFields& header, BodyHasher& body) {
  header_ = &header;
  body_ = &body;
  const HeaderFields::Range range = header.Indexes("dkim-signature");
  verdict_.signatures.reserve(std::min(range.size(), options_.max_signatures + 1));
  for (const uint32_t index : range) {
    DkimSignatureVerdict& verdict = verdict_.signatures.emplace_back();
    verdict.field_index = index;
    if (verdict_.signatures.size() > options_.max_signatures) {
      // One verdict stands for all that are left out: what they say is not worth a list.
      Say(&verdict, DkimResult::kPolicy, "too_many_signatures",
          StrCat("the message has ", range.size(), " signatures, the first ",
                 options_.max_signatures, " are looked at"));
      break;
    }
    const std::optional<SignatureFault> fault =
        ParseSignature(SignatureField::kDkim, header.fields()[index].value, &verdict.signature,
                       options_.signature);
    if (fault) {
      // RFC 8601 §2.7.1: neutral is for syntax errors, permerror for what can never be verified.
      Say(&verdict, fault->is_syntax ? DkimResult::kNeutral : DkimResult::kPermError, fault->reason,
          fault->explanation);
      continue;
    }
    std::optional<dns::Name> name = KeyName(verdict.signature);
    if (!name) {
      Say(&verdict, DkimResult::kPermError, "no_key",
          "selector and domain make no name in the DNS");
      continue;
    }
    Candidate candidate;
    candidate.index = verdict_.signatures.size() - 1;
    candidate.key_name = std::move(*name);
    candidate.body =
        body.Want(verdict.signature.body_canonicalization, verdict.signature.body_length);
    candidates_.push_back(std::move(candidate));
  }
}

void DkimVerifier::Judge(const Candidate& candidate, const dns::Answer* answer, int64_t now_s,
                         DkimSignatureVerdict* verdict) const {
  const DkimSignature& signature = verdict->signature;
  const Digest* body = body_->digest(candidate.body);
  const bool body_differs = body == nullptr || DigestView(*body) != signature.body_hash;
  if (signature.body_length && body != nullptr) {
    verdict->unsigned_body_bytes = body_->canonical_bytes(candidate.body) - *signature.body_length;
  }
  Digest digest{};
  if (!body_differs) digest = HashSignedFields(*header_, signature, verdict->field_index);
  const KeyJudgement judgement =
      JudgeKey(signature, candidate.key_name, *answer, digest, body_differs,
               /*check_identity=*/true, options_.check, options_.key_cache);
  verdict->key_bits = judgement.key_bits;
  verdict->testing = judgement.testing;
  using Kind = KeyJudgement::Kind;
  if (judgement.kind == Kind::kTemporary) {
    return Say(verdict, DkimResult::kTempError, judgement.reason, judgement.explanation);
  }
  if (judgement.kind == Kind::kUnusable) {
    return Say(verdict, DkimResult::kPermError, judgement.reason, judgement.explanation);
  }
  // §3.5, x= and t=.
  if (signature.expires_at_s && now_s >= 0 &&
      static_cast<uint64_t>(now_s) > *signature.expires_at_s) {
    return Say(verdict, DkimResult::kPermError, "expired",
               StrCat("the signature has expired, ",
                      static_cast<uint64_t>(now_s) - *signature.expires_at_s,
                      " seconds before the message came in"));
  }
  const int64_t latest_s = now_s + absl::ToInt64Seconds(options_.future_tolerance);
  if (signature.signed_at_s && latest_s >= 0 &&
      *signature.signed_at_s > static_cast<uint64_t>(latest_s)) {
    return Say(verdict, DkimResult::kPermError, "signed_in_future",
               "the signature says that it was made in the future");
  }
  // §3.6.1, t=y: a failure must not count against the message.
  const DkimResult failed = judgement.testing ? DkimResult::kNeutral : DkimResult::kFail;
  const std::string_view testing =
      judgement.testing ? "; the key is for tests (t=y), so this does not count" : "";
  if (body == nullptr) {
    return Say(verdict, failed, "body_too_short",
               StrCat("the body is shorter than what was signed (l=", *signature.body_length,
                      "); the message was changed after signing", testing));
  }
  if (body_differs) {
    return Say(verdict, failed, "body_hash_differs",
               StrCat("body hash differs; the message was changed after signing (signer used ",
                      CanonicalizationName(signature.body_canonicalization),
                      " body canonicalization)", testing));
  }
  if (judgement.kind == Kind::kDiffers) {
    return Say(
        verdict, failed, "signature_differs",
        StrCat("signature differs; the body is as it was signed, so a signed header field was "
               "changed or another key was used (signer used ",
               CanonicalizationName(signature.header_canonicalization),
               " header canonicalization and signed ",
               mail::EscapeForPeople(StrJoin(signature.fields, ", "), 400), ")", testing));
  }
  verdict->result = DkimResult::kPass;
  verdict->reason = "good";
  std::string& why = verdict->explanation;
  why.reserve(200);
  StrAppend(why, "DKIM pass: good signature of ", mail::EscapeForPeople(signature.domain, 255),
            " (selector ", mail::EscapeForPeople(signature.selector, 80), ", ", judgement.key_bits,
            "-bit ", KeyKindName(signature.key_kind), " key)");
  if (judgement.testing) why += "; the key is for tests (t=y)";
  if (verdict->unsigned_body_bytes != 0) {
    StrAppend(why, "; the last ", verdict->unsigned_body_bytes,
              " octets of the body are not signed (l=)");
  }
}

dns::Inquiry<DkimVerdict> DkimVerifier::Check(WallTime now) {
  std::vector<dns::Question> questions;
  questions.reserve(candidates_.size());
  for (Candidate& candidate : candidates_) {
    candidate.question = questions.size();
    for (size_t i = 0; i < questions.size(); ++i) {
      if (questions[i].name == candidate.key_name) candidate.question = i;
    }
    if (candidate.question == questions.size())
      questions.push_back(dns::Question{candidate.key_name, dns::Type::kTxt});
  }
  dns::AskAll ask{std::move(questions)};
  const std::vector<dns::Answer> answers = co_await std::move(ask);
  const int64_t now_s = absl::ToUnixSeconds(now);
  for (const Candidate& candidate : candidates_) {
    Judge(candidate, &answers[candidate.question], now_s, &verdict_.signatures[candidate.index]);
  }
  if (verdict_.signatures.empty()) {
    if (verdict_.reason.empty()) {
      verdict_.reason = "no_signature";
      verdict_.explanation = "DKIM none: the message is not signed";
    }
  } else {
    const DkimSignatureVerdict* best = &verdict_.signatures.front();
    for (const DkimSignatureVerdict& each : verdict_.signatures) {
      if (Rank(each.result) > Rank(best->result)) best = &each;
    }
    verdict_.result = best->result;
    verdict_.reason = best->reason;
    verdict_.explanation = best->explanation;
  }
  co_return std::move(verdict_);
}

dns::Inquiry<DkimVerdict> CheckDkim(std::string message, MessageScanOptions scan_options,
                                    DkimVerifyOptions options, WallTime now) {
  DkimVerifier verifier(std::move(options));
  MessageScan scan({&verifier}, scan_options);
  scan.Feed(message);
  scan.Finish();
  dns::Inquiry<DkimVerdict> check = verifier.Check(now);
  DkimVerdict verdict = co_await std::move(check);
  co_return std::move(verdict);
}

}  // namespace postern::trust
