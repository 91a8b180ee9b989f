#include "lib/core/trust/dkim_sign.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/trust/dkim_signature.h"
#include "lib/core/trust/signature_check.h"

namespace postern::trust {
namespace {

constexpr std::string_view kFieldName = "DKIM-Signature:";

// AsciiName is a domain or selector as it stands in d= and s=: A-labels, lower case (RFC 8616 §4
// takes U-labels too, but not every verifier does).
StatusOr<std::string> AsciiName(std::string_view what, std::string_view name) {
  std::string ascii = AsciiLower(name);
  if (!IsAscii(name)) {
    StatusOr<std::string> converted = mail::DomainToAscii(name);
    if (!converted.ok()) return converted.status();
    ascii = std::move(*converted);
  }
  bool good = !ascii.empty() && ascii.back() != '.' && dns::Name::Parse(ascii).ok();
  for (const char c : ascii) good = good && (IsAsciiAlnum(c) || c == '-' || c == '_' || c == '.');
  if (!good) return InvalidArgument(StrCat(what, " \"", Escape(name, 80), "\" is no DNS name"));
  return ascii;
}

// Prepare fills in the tags that the key decides.
StatusOr<DkimSignature> Prepare(const DkimSigningKey& key) {
  if (!key.key) return InvalidArgument("a signature without a key");
  StatusOr<std::string> domain = AsciiName("the domain", key.domain);
  if (!domain.ok()) return domain.status();
  StatusOr<std::string> selector = AsciiName("the selector", key.selector);
  if (!selector.ok()) return selector.status();
  DkimSignature signature;
  signature.domain = std::move(*domain);
  signature.selector = std::move(*selector);
  signature.key_kind = key.key->kind();
  signature.algorithm = key.key->kind() == KeyKind::kRsa ? "rsa-sha256" : "ed25519-sha256";
  signature.identity = key.identity;
  if (!key.identity.empty()) {
    const std::string_view of = signature.identity_domain();
    if (key.identity.find('@') == std::string::npos)
      return InvalidArgument("the identity (i=) has no \"@\"");
    if (!EqualsIgnoreCase(of, signature.domain) &&
        !EndsWithIgnoreCase(of, StrCat(".", signature.domain))) {
      return InvalidArgument(
          StrCat("the identity (i=) is not of ", signature.domain, " or a domain below it"));
    }
  }
  if (!KeyName(signature)) return InvalidArgument("selector and domain are too long for the DNS");
  return signature;
}

}  // namespace

const std::vector<std::string>& DefaultSignedFields() {
  static const std::vector<std::string> kFields = {"From",
                                                   "Sender",
                                                   "Reply-To",
                                                   "Subject",
                                                   "Date",
                                                   "Message-ID",
                                                   "To",
                                                   "Cc",
                                                   "MIME-Version",
                                                   "Content-Type",
                                                   "Content-Transfer-Encoding",
                                                   "Content-ID",
                                                   "Content-Description",
                                                   "Content-Disposition",
                                                   "Content-Language",
                                                   "In-Reply-To",
                                                   "References",
                                                   "Resent-From",
                                                   "Resent-Sender",
                                                   "Resent-To",
                                                   "Resent-Cc",
                                                   "Resent-Date",
                                                   "Resent-Message-ID",
                                                   "List-Id",
                                                   "List-Help",
                                                   "List-Subscribe",
                                                   "List-Unsubscribe",
                                                   "List-Unsubscribe-Post",
                                                   "List-Post",
                                                   "List-Owner",
                                                   "List-Archive",
                                                   "Autocrypt"};
  return kFields;
}

const std::vector<std::string>& DefaultOversignedFields() {
  static const std::vector<std::string> kFields = {"From",
                                                   "Sender",
                                                   "Reply-To",
                                                   "Subject",
                                                   "Date",
                                                   "Message-ID",
                                                   "To",
                                                   "Cc",
                                                   "MIME-Version",
                                                   "Content-Type",
                                                   "Content-Transfer-Encoding"};
  return kFields;
}

Status CheckDkimSignOptions(const DkimSignOptions& options) {
  if (options.keys.empty()) return InvalidArgument("there is no key to sign with");
  for (const DkimSigningKey& key : options.keys) {
    StatusOr<DkimSignature> prepared = Prepare(key);
    if (!prepared.ok()) return prepared.status();
  }
  for (const auto* list : {&options.fields, &options.oversigned}) {
    for (const std::string& name : *list) {
      bool good = !name.empty();
      for (const char c : name) good = good && c > 0x20 && c < 0x7f && c != ':' && c != ';';
      if (!good) return InvalidArgument(StrCat("\"", Escape(name, 80), "\" is no field name"));
    }
  }
  const auto names = [](const std::vector<std::string>& list, std::string_view name) {
    return std::any_of(list.begin(), list.end(),
                       [name](const std::string& one) { return EqualsIgnoreCase(one, name); });
  };
  // RFC 6376 §5.4: From is always signed; a signature on the way may be added later.
  if (!names(options.fields, "From"))
    return InvalidArgument("the fields to sign do not name From (RFC 6376 section 5.4)");
  if (names(options.oversigned, "DKIM-Signature"))
    return InvalidArgument(
        "DKIM-Signature cannot be oversigned: every further signature would break this one (RFC "
        "6376 section 5.4)");
  if (options.expires_after < absl::ZeroDuration())
    return InvalidArgument("the signature would expire before it is made");
  return OkStatus();
}

Status CheckSignableHeader(const HeaderFields& header) {
  const std::string_view first = header.fields().empty() ? "" : header.fields().front().raw;
  if (!first.empty() && (first.front() == ' ' || first.front() == '\t'))
    return InvalidArgument("the message begins with a blank, in the middle of a field");
  if (const size_t from = header.Indexes("From").size(); from != 1) {
    return InvalidArgument(from == 0 ? "the message has no From field"
                                     : "the message has more than one From field");
  }
  return OkStatus();
}

StatusOr<std::vector<std::string>> ChooseSignedFields(const HeaderFields& header,
                                                      const std::vector<std::string>& fields,
                                                      const std::vector<std::string>& oversigned,
                                                      size_t most) {
  std::vector<std::string> chosen;
  const auto add = [&](const std::string& name, size_t times) {
    for (; times > 0 && chosen.size() <= most; --times) chosen.push_back(name);
  };
  const auto contains = [](const std::vector<std::string>& list, std::string_view name) {
    return std::any_of(list.begin(), list.end(),
                       [&](const std::string& each) { return EqualsIgnoreCase(each, name); });
  };
  // Each name as often as it is there, and an oversigned one once more.
  const auto add_all = [&](const std::string& name) {
    add(name, header.Indexes(name).size() + (contains(oversigned, name) ? 1 : 0));
  };
  // §5.4: From must be signed.
  if (!contains(fields, "From")) add_all("From");
  for (const std::string& name : fields) add_all(name);
  for (const std::string& name : oversigned) {
    if (!contains(fields, name) && !EqualsIgnoreCase(name, "From")) add_all(name);
  }
  if (chosen.size() > most)
    return ResourceExhausted(StrCat("more than ", most, " header fields to sign"));
  return chosen;
}

DkimSigner::DkimSigner(DkimSignOptions options) : options_(std::move(options)) {}
DkimSigner::~DkimSigner() = default;

void DkimSigner::OnHeader(const HeaderFields& header, BodyHasher& body) {
  header_ = &header;
  body_ = &body;
  body_number_ = body.Want(options_.body_canonicalization);
}

void DkimSigner::OnUnreadable(const char*, std::string why) { unreadable_ = std::move(why); }

StatusOr<std::string> DkimSigner::Sign(WallTime now) const {
  if (!unreadable_.empty()) return ResourceExhausted(unreadable_);
  POSTERN_RETURN_IF_ERROR(CheckDkimSignOptions(options_));
  if (header_ == nullptr || body_->digest(body_number_) == nullptr)
    return FailedPrecondition("the message is not at its end");
  POSTERN_RETURN_IF_ERROR(CheckSignableHeader(*header_));
  StatusOr<std::vector<std::string>> fields = ChooseSignedFields(
      *header_, options_.fields, options_.oversigned, options_.max_signed_fields);
  if (!fields.ok()) return fields.status();
  std::string out;
  for (const DkimSigningKey& key : options_.keys) {
    StatusOr<DkimSignature> signature = Prepare(key);
    if (!signature.ok()) return signature.status();
    signature->header_canonicalization = options_.header_canonicalization;
    signature->body_canonicalization = options_.body_canonicalization;
    signature->fields = *fields;
    signature->body_hash = std::string(DigestView(*body_->digest(body_number_)));
    const int64_t now_s = std::max<int64_t>(0, absl::ToUnixSeconds(now));
    if (options_.timestamp) signature->signed_at_s = static_cast<uint64_t>(now_s);
    if (options_.expires_after > absl::ZeroDuration()) {
      signature->expires_at_s = static_cast<uint64_t>(
          now_s + std::max<int64_t>(1, absl::ToInt64Seconds(options_.expires_after)));
    }
    const std::string hashed =
        StrCat(kFieldName, PrintSignature(SignatureField::kDkim, *signature, kFieldName.size()));
    const Digest digest = HashSignedFields(*header_, *signature, hashed);
    StatusOr<std::string> octets = key.key->Sign(DigestView(digest));
    if (!octets.ok()) return octets.status();
    signature->signature = std::move(*octets);
    StrAppend(out, kFieldName, PrintSignature(SignatureField::kDkim, *signature, kFieldName.size()),
              "\r\n");
  }
  return out;
}

StatusOr<std::string> SignDkim(std::string_view message, const MessageScanOptions& scan_options,
                               DkimSignOptions options, WallTime now) {
  DkimSigner signer(std::move(options));
  MessageScan scan({&signer}, scan_options);
  scan.Feed(message);
  scan.Finish();
  return signer.Sign(now);
}

}  // namespace postern::trust
