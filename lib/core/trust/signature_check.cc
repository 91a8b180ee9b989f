#include "lib/core/trust/signature_check.h"

#include <array>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"

namespace postern::trust {
namespace {

// WithoutSignature is the field without the value of its b=.
std::string WithoutSignature(const RawField& field, size_t b_begin, size_t b_end) {
  const auto value_at = static_cast<size_t>(field.value.data() - field.raw.data());
  std::string without;
  without.reserve(field.raw.size());
  without.append(field.raw.substr(0, value_at + b_begin));
  without.append(field.raw.substr(value_at + b_end));
  return without;
}

// FieldHasher hands canonical fields to a hash through one buffer.
class FieldHasher {
 public:
  explicit FieldHasher(Canonicalization canonicalization) : canonicalization_(canonicalization) {}
  // Add puts in a field with its line end, AddLast one without.
  void Add(std::string_view raw) {
    AddLast(raw);
    if (sizeof buffer_ - used_ < 2) Flush();
    buffer_[used_++] = '\r';
    buffer_[used_++] = '\n';
  }
  void AddLast(std::string_view raw) {
    if (raw.size() > sizeof buffer_ - used_) Flush();
    if (raw.size() <= sizeof buffer_) {
      used_ += WriteCanonicalField(canonicalization_, raw, buffer_ + used_);
      return;
    }
    std::string large;
    AppendCanonicalField(canonicalization_, raw, large);
    hash_.Update(large);
  }
  // AddSignature puts in the field without the value of its b= (§3.7 step 2), and no line end.
  void AddSignature(const RawField& field, size_t b_begin, size_t b_end) {
    char text[2048];
    if (field.raw.size() > sizeof text) return AddLast(WithoutSignature(field, b_begin, b_end));
    const auto value_at = static_cast<size_t>(field.value.data() - field.raw.data());
    size_t size = field.raw.copy(text, value_at + b_begin);
    size += field.raw.copy(text + size, std::string_view::npos, value_at + b_end);
    AddLast(std::string_view(text, size));
  }
  Digest Finish() {
    Flush();
    return hash_.Finish();
  }

 private:
  void Flush() {
    hash_.Update(std::string_view(buffer_, used_));
    used_ = 0;
  }
  Canonicalization canonicalization_;
  Sha256 hash_;
  size_t used_ = 0;
  char buffer_[4096];
};

constexpr size_t kNoField = SIZE_MAX;

// AddSignedFields hashes the fields that h= names (§5.4.2).
void AddSignedFields(const HeaderFields& header, const DkimSignature& signature, size_t own,
                     FieldHasher& hasher) {
  // How many of a name are used up is kept under the place of the name's first field, so that names
  // in either case share it.
  constexpr size_t kFew = 64;
  std::array<uint32_t, kFew> few{};
  std::vector<uint32_t> many;
  uint32_t* used = few.data();
  if (header.fields().size() > kFew) {
    many.resize(header.fields().size());
    used = many.data();
  }
  HeaderFields::Range range;
  const std::string* last = nullptr;  // oversigned names come twice in a row
  for (const std::string& name : signature.fields) {
    if (last == nullptr || *last != name) range = header.Indexes(name);
    last = &name;
    if (range.size() == 0) continue;
    uint32_t& taken = used[range[0]];
    if (taken < range.size() && range[range.size() - 1 - taken] == own) ++taken;
    if (taken >= range.size()) continue;
    hasher.Add(header.fields()[range[range.size() - 1 - taken]].raw);
    ++taken;
  }
}

bool Lists(const std::vector<std::string>& list, std::string_view a, std::string_view b) {
  if (list.empty()) return true;
  for (const std::string& each : list) {
    if (each == a || each == b) return true;
  }
  return false;
}

// JudgeRecord judges one record.
KeyJudgement JudgeRecord(const DkimSignature& signature, const DkimKeyRecord& record,
                         const Digest& digest, bool body_differs, bool check_identity,
                         const SignatureCheckLimits& limits) {
  KeyJudgement judgement;
  judgement.testing = record.testing;
  const auto unusable = [&](const char* reason, std::string why) {
    judgement.kind = KeyJudgement::Kind::kUnusable;
    judgement.reason = reason;
    judgement.explanation = std::move(why);
    return judgement;
  };
  // In the order of §6.1.2.
  if (!Lists(record.hashes, "sha256", "sha256"))
    return unusable("key_hash_not_allowed", "the key record does not allow SHA-256 (its h=)");
  if (record.revoked)
    return unusable("key_revoked", "the key has been revoked (p= of its record is empty)");
  if (record.kind != signature.key_kind) {
    return unusable("key_kind_differs",
                    StrCat("the signature says ", signature.algorithm, ", the key record has an ",
                           KeyKindName(record.kind), " key"));
  }
  if (!Lists(record.services, "email", "*"))
    return unusable("key_not_for_mail", "the key record is not for mail (its s=)");
  judgement.key_bits = record.key->bits();
  if (record.kind == KeyKind::kRsa && record.key->bits() < limits.min_rsa_bits) {
    // RFC 8301 §3.2.
    return unusable("key_too_short", StrCat("the RSA key has ", record.key->bits(), " bits, ",
                                            limits.min_rsa_bits, " are the least"));
  }
  if (record.kind == KeyKind::kRsa && record.key->bits() > limits.max_rsa_bits) {
    return unusable("key_too_long", StrCat("the RSA key has ", record.key->bits(), " bits, ",
                                           limits.max_rsa_bits, " are the most"));
  }
  if (check_identity && record.strict &&
      !EqualsIgnoreCase(signature.identity_domain(), signature.domain)) {
    return unusable("identity_not_of_domain",
                    StrCat("i= names ", Escape(signature.identity_domain(), 80),
                           ", and the key is for d= itself only (its t=s)"));
  }
  if (body_differs || record.key->Verify(DigestView(digest), signature.signature)) {
    judgement.kind = KeyJudgement::Kind::kGood;
    return judgement;
  }
  judgement.kind = KeyJudgement::Kind::kDiffers;
  judgement.reason = "signature_differs";
  return judgement;
}

}  // namespace

std::optional<dns::Name> KeyName(const DkimSignature& signature) {
  constexpr std::string_view kBetween = "._domainkey.";
  std::string text;
  text.reserve(signature.selector.size() + kBetween.size() + signature.domain.size());
  for (const std::string* part : {&signature.selector, &signature.domain}) {
    if (part != &signature.selector) text += kBetween;
    if (IsAscii(*part)) {
      text += *part;
      continue;
    }
    const StatusOr<std::string> ascii = mail::DomainToAscii(*part);
    if (!ascii.ok()) return std::nullopt;
    text += *ascii;
  }
  StatusOr<dns::Name> name = dns::Name::Parse(text);
  if (!name.ok()) return std::nullopt;
  return std::move(*name);
}

void AppendSignatureField(Canonicalization canonicalization, const RawField& field, size_t b_begin,
                          size_t b_end, std::string& out) {
  AppendCanonicalField(canonicalization, WithoutSignature(field, b_begin, b_end), out);
}

Digest HashSignedFields(const HeaderFields& header, const DkimSignature& signature, size_t own) {
  FieldHasher hasher(signature.header_canonicalization);
  AddSignedFields(header, signature, own, hasher);
  hasher.AddSignature(header.fields()[own], signature.b_begin, signature.b_end);
  return hasher.Finish();
}

Digest HashSignedFields(const HeaderFields& header, const DkimSignature& signature,
                        std::string_view field) {
  FieldHasher hasher(signature.header_canonicalization);
  AddSignedFields(header, signature, kNoField, hasher);
  hasher.AddLast(field);
  return hasher.Finish();
}

KeyJudgement JudgeKey(const DkimSignature& signature, const dns::Name& name,
                      const dns::Answer& answer, const Digest& digest, bool body_differs,
                      bool check_identity, const SignatureCheckLimits& limits,
                      DkimKeyCache* cache) {
  KeyJudgement judgement;
  if (answer.temporary()) {
    judgement.kind = KeyJudgement::Kind::kTemporary;
    judgement.reason = "key_unavailable";
    judgement.explanation = StrCat("the DNS could not be asked for the key ", name.ToString(), " (",
                                   dns::KindName(answer.kind), ")");
    return judgement;
  }
  size_t tried = 0;
  for (const dns::Record& each : answer.records) {
    const auto* txt = std::get_if<dns::TxtData>(&each.data);
    if (txt == nullptr || tried == limits.max_key_records) continue;
    ++tried;
    // Nearly all records are one string, or a few.
    std::string joined;
    if (txt->strings.size() != 1) joined = txt->Joined();
    const std::string_view text =
        txt->strings.size() == 1 ? std::string_view(txt->strings.front()) : joined;
    KeyJudgement one;
    const auto judge = [&](const std::optional<DkimKeyFault>& fault, const DkimKeyRecord& record) {
      if (fault) {
        one.reason = fault->reason;
        one.explanation = fault->explanation;
      } else {
        one = JudgeRecord(signature, record, digest, body_differs, check_identity, limits);
      }
    };
    if (cache != nullptr) {
      const std::shared_ptr<const DkimKeyCache::Entry> entry = cache->Read(text, limits.key);
      judge(entry->fault, entry->record);
    } else {
      DkimKeyRecord record;
      const std::optional<DkimKeyFault> fault = ParseDkimKeyRecord(text, &record, limits.key);
      judge(fault, record);
    }
    if (one.kind == KeyJudgement::Kind::kGood) return one;
    // A key that could be used says more than a record that could not.
    if (tried == 1 || one.kind == KeyJudgement::Kind::kDiffers) judgement = std::move(one);
  }
  if (tried == 0) {
    judgement.reason = "no_key";
    judgement.explanation = StrCat("there is no key at ", name.ToString());
  }
  return judgement;
}

}  // namespace postern::trust
