#include "lib/core/trust/arc_seal.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/message/header_field.h"
#include "lib/core/trust/arc_set.h"
#include "lib/core/trust/signature_check.h"
#include "lib/core/trust/tag_list.h"

namespace postern::trust {
namespace {

constexpr std::string_view kResultsName = "ARC-Authentication-Results:";
constexpr std::string_view kMessageName = "ARC-Message-Signature:";
constexpr std::string_view kSealName = "ARC-Seal:";

// FoldResults writes results with a line for each method, which is where they can be cut.
std::string FoldResults(uint32_t instance, std::string_view authserv_id, std::string_view results) {
  std::string text = StrCat(kResultsName, " i=", instance, "; ", authserv_id, ";");
  bool quoted = false;
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= results.size(); ++i) {
    const char c = i < results.size() ? results[i] : ';';
    if (i < results.size()) {
      if (c == '\\' && (quoted || depth > 0)) {
        ++i;
        continue;
      }
      if (c == '"' && depth == 0) quoted = !quoted;
      if (!quoted && c == '(') ++depth;
      if (!quoted && c == ')' && depth > 0) --depth;
      if (c != ';' || quoted || depth > 0) continue;
    }
    const std::string_view one =
        TrimFws(results.substr(start, std::min(i, results.size()) - start));
    start = i + 1;
    if (one.empty()) continue;
    StrAppend(text, "\r\n ", one, ";");
  }
  text.pop_back();  // no semicolon behind the last one
  return text;
}

}  // namespace

const std::vector<std::string>& ArcSealOptions::DefaultArcSignedFields() {
  static const std::vector<std::string> kFields = [] {
    std::vector<std::string> names = DefaultSignedFields();
    names.push_back("DKIM-Signature");
    return names;
  }();
  return kFields;
}

std::string GatherResults(const HeaderFields& header, std::string_view authserv_id) {
  std::string all;
  for (const uint32_t index : header.Indexes("authentication-results")) {
    const std::string value = message::Unfold(header.fields()[index].value);
    const size_t semicolon = value.find(';');
    if (semicolon == std::string::npos) continue;
    // RFC 8601 §2.2: authserv-id [ CFWS version ].
    const std::vector<std::string_view> words =
        SplitWords(std::string_view(value).substr(0, semicolon));
    if (words.empty() || !EqualsIgnoreCase(words.front(), authserv_id)) continue;
    std::string_view results = TrimFws(std::string_view(value).substr(semicolon + 1));
    while (!results.empty() && results.back() == ';')
      results = TrimFws(results.substr(0, results.size() - 1));
    if (results.empty() || EqualsIgnoreCase(results, "none")) continue;
    StrAppend(all, all.empty() ? "" : "; ", results);
  }
  return all.empty() ? "none" : all;
}

ArcSealer::ArcSealer(ArcSealOptions options) : options_(std::move(options)) {}
ArcSealer::~ArcSealer() = default;

void ArcSealer::OnHeader(const HeaderFields& header, BodyHasher& body) {
  header_ = &header;
  body_ = &body;
  body_number_ = body.Want(options_.body_canonicalization);
}

void ArcSealer::OnUnreadable(const char*, std::string why) { unreadable_ = std::move(why); }

StatusOr<std::string> ArcSealer::Seal(const ArcVerdict& verdict, WallTime now) const {
  if (!unreadable_.empty()) return ResourceExhausted(unreadable_);
  DkimSignOptions check;
  check.keys = {options_.key};
  check.keys[0].identity.clear();
  check.fields = options_.fields;
  check.oversigned = options_.oversigned;
  POSTERN_RETURN_IF_ERROR(CheckDkimSignOptions(check));
  for (const auto* list : {&options_.fields, &options_.oversigned}) {
    for (const std::string& name : *list) {
      // RFC 8617 §4.1.2: a message signature does not sign seals; and what is said of the results
      // is in the ARC-Authentication-Results.
      if (EqualsIgnoreCase(name, "ARC-Seal") || EqualsIgnoreCase(name, "Authentication-Results"))
        return InvalidArgument(StrCat(name, " may not be signed by an ARC-Message-Signature"));
    }
  }
  if (header_ == nullptr || body_->digest(body_number_) == nullptr)
    return FailedPrecondition("the message is not at its end");
  POSTERN_RETURN_IF_ERROR(CheckSignableHeader(*header_));
  if (verdict.result == ArcResult::kTempError)
    return Unavailable("the chain could not be checked, so no seal can say what it is");
  if (verdict.reason == "sealed_as_failed")
    return FailedPrecondition("the chain is sealed as failed and gets no more sets");
  const uint32_t instance = verdict.instances + 1;
  if (instance > kMaxArcSets) return FailedPrecondition("the chain has 50 sets and gets no more");
  const std::string authserv_id =
      AsciiLower(options_.authserv_id.empty() ? options_.key.domain : options_.authserv_id);
  const std::string results = options_.results.empty() ? GatherResults(*header_, authserv_id)
                                                       : message::Unfold(options_.results);
  const std::string results_field = FoldResults(instance, authserv_id, results);

  DkimSignature signature;
  signature.algorithm = options_.key.key->kind() == KeyKind::kRsa ? "rsa-sha256" : "ed25519-sha256";
  signature.key_kind = options_.key.key->kind();
  signature.domain = AsciiLower(options_.key.domain);
  signature.selector = AsciiLower(options_.key.selector);
  signature.instance = instance;
  if (options_.timestamp) {
    signature.signed_at_s = static_cast<uint64_t>(std::max<int64_t>(0, absl::ToUnixSeconds(now)));
  }
  DkimSignature seal = signature;

  // The message signature (§4.1.2).
  signature.header_canonicalization = Canonicalization::kRelaxed;
  signature.body_canonicalization = options_.body_canonicalization;
  signature.body_hash = std::string(DigestView(*body_->digest(body_number_)));
  StatusOr<std::vector<std::string>> fields = ChooseSignedFields(
      *header_, options_.fields, options_.oversigned, options_.max_signed_fields);
  if (!fields.ok()) return fields.status();
  signature.fields = std::move(*fields);
  const auto print = [](SignatureField kind, std::string_view name, const DkimSignature& tags) {
    return StrCat(name, PrintSignature(kind, tags, name.size()));
  };
  const Digest digest = HashSignedFields(
      *header_, signature, print(SignatureField::kArcMessage, kMessageName, signature));
  StatusOr<std::string> octets = options_.key.key->Sign(DigestView(digest));
  if (!octets.ok()) return octets.status();
  signature.signature = std::move(*octets);
  const std::string message_field = print(SignatureField::kArcMessage, kMessageName, signature);

  // The seal (§4.1.3, §5.1.1). Of a chain that failed it covers the new set alone (§5.1.2).
  seal.chain_status = ArcResultName(verdict.result);
  std::string text;
  Sha256 hash;
  if (verdict.result == ArcResult::kPass) {
    const ArcChain chain = ReadArcChain(*header_);
    for (const ArcSet& set : chain.sets) {
      AppendSealedSet(*header_, set, /*last=*/false, text);
      hash.Update(text);
      text.clear();
    }
  }
  for (const std::string* field : {&results_field, &message_field}) {
    AppendCanonicalField(Canonicalization::kRelaxed, *field, text);
    text += "\r\n";
  }
  AppendCanonicalField(Canonicalization::kRelaxed, print(SignatureField::kArcSeal, kSealName, seal),
                       text);
  hash.Update(text);
  const Digest sealed = hash.Finish();
  octets = options_.key.key->Sign(DigestView(sealed));
  if (!octets.ok()) return octets.status();
  seal.signature = std::move(*octets);
  return StrCat(print(SignatureField::kArcSeal, kSealName, seal), "\r\n", message_field, "\r\n",
                results_field, "\r\n");
}

}  // namespace postern::trust
