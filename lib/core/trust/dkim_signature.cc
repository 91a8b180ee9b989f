#include "lib/core/trust/dkim_signature.h"

#include <algorithm>

#include "lib/core/base/strings.h"
#include "lib/core/mail/base64.h"
#include "lib/core/mail/people_text.h"
#include "lib/core/trust/tag_list.h"

namespace postern::trust {
namespace {

constexpr size_t kMostColumns = 78;     // RFC 5322 §2.1.1
constexpr uint32_t kMostInstance = 50;  // RFC 8617 §4.2.1

SignatureFault Syntax(std::string explanation) {
  return SignatureFault{"signature_syntax", std::move(explanation), true};
}
SignatureFault Missing(std::string_view tag) {
  return SignatureFault{"missing_tag", StrCat("the signature has no ", tag, "="), true};
}

// ReadNumber reads a decimal number; what does not fit is the greatest there is.
std::optional<uint64_t> ReadNumber(std::string_view text, size_t max_digits) {
  if (text.empty() || text.size() > max_digits) return std::nullopt;
  for (const char c : text) {
    if (!IsAsciiDigit(c)) return std::nullopt;
  }
  return ParseUint(text).value_or(UINT64_MAX);
}

std::optional<Canonicalization> ReadCanonicalization(std::string_view text) {
  if (EqualsIgnoreCase(text, "simple")) return Canonicalization::kSimple;
  if (EqualsIgnoreCase(text, "relaxed")) return Canonicalization::kRelaxed;
  return std::nullopt;
}

bool IsName(std::string_view text) {
  if (text.empty() || text.size() > 255) return false;
  for (const char c : text) {
    if (c <= 0x20 && IsAscii(c)) return false;
    if (c == 0x7f || c == '@' || c == '/' || c == '"' || c == '\\') return false;
  }
  // RFC 6376 §3.5: sub-domain 1*("." sub-domain), with no dot at the end either.
  return text.front() != '.' && text.back() != '.' && text.find("..") == std::string_view::npos;
}

std::optional<SignatureFault> ReadAlgorithm(const TagList& tags, DkimSignature* signature) {
  const Tag* a = tags.Find("a");
  if (a == nullptr) return Missing("a");
  signature->algorithm = std::string(a->value);
  if (EqualsIgnoreCase(a->value, "rsa-sha256")) {
    signature->key_kind = KeyKind::kRsa;
  } else if (EqualsIgnoreCase(a->value, "ed25519-sha256")) {
    signature->key_kind = KeyKind::kEd25519;
  } else if (EqualsIgnoreCase(a->value, "rsa-sha1")) {
    // RFC 8301 §3.1: verifiers must not take it for a signature.
    return SignatureFault{"algorithm_historic",
                          "rsa-sha1 is broken and has not been allowed since RFC 8301", false};
  } else {
    return SignatureFault{
        "algorithm_unknown",
        StrCat("the algorithm \"", mail::EscapeForPeople(a->value, 40), "\" is not known"), false};
  }
  return std::nullopt;
}

std::optional<SignatureFault> ReadIdentity(const TagList& tags, DkimSignature* signature) {
  const Tag* i = tags.Find("i");
  if (i == nullptr) {
    signature->identity = StrCat("@", signature->domain);
    return std::nullopt;
  }
  signature->identity = DecodeDkimQuotedPrintable(i->value);
  if (signature->identity.find('@') == std::string::npos) return Syntax("i= has no \"@\"");
  // §3.5: its domain is d= or below it.
  const std::string_view domain = signature->identity_domain();
  if (!EqualsIgnoreCase(domain, signature->domain) &&
      !EndsWithIgnoreCase(domain, StrCat(".", signature->domain))) {
    return SignatureFault{
        "identity_not_of_domain",
        StrCat("i= names ", mail::EscapeForPeople(domain, 80),
               ", which is not below d=", mail::EscapeForPeople(signature->domain, 80)),
        false};
  }
  return std::nullopt;
}

std::optional<SignatureFault> ReadInstance(const TagList& tags, DkimSignature* signature) {
  const Tag* i = tags.Find("i");
  if (i == nullptr) return Missing("i");
  const std::optional<uint64_t> number = ReadNumber(i->value, 9);
  if (!number || *number < 1 || *number > kMostInstance)
    return Syntax(StrCat("i=", mail::EscapeForPeople(i->value, 20), " is not from 1 to 50"));
  signature->instance = static_cast<uint32_t>(*number);
  return std::nullopt;
}

std::optional<SignatureFault> ReadTimes(const TagList& tags, DkimSignature* signature) {
  if (const Tag* t = tags.Find("t")) {
    signature->signed_at_s = ReadNumber(t->value, 12);  // §3.5 t=: 12 digits must be taken
    if (!signature->signed_at_s) return Syntax("t= is not a number of seconds");
  }
  if (const Tag* x = tags.Find("x")) {
    signature->expires_at_s = ReadNumber(x->value, 12);
    if (!signature->expires_at_s) return Syntax("x= is not a number of seconds");
    // §3.5: x= is greater than t=.
    if (signature->signed_at_s && *signature->expires_at_s <= *signature->signed_at_s)
      return Syntax("x= is not later than t=");
  }
  return std::nullopt;
}

std::optional<SignatureFault> ReadBody(const TagList& tags, DkimSignature* signature,
                                       const SignatureLimits& limits, bool dkim) {
  if (const Tag* c = tags.Find("c")) {
    const size_t slash = c->value.find('/');
    const auto header = ReadCanonicalization(TrimFws(c->value.substr(0, slash)));
    // §3.5: with one name only, the body is "simple".
    const auto body = slash == std::string_view::npos
                          ? std::optional(Canonicalization::kSimple)
                          : ReadCanonicalization(TrimFws(c->value.substr(slash + 1)));
    if (!header || !body) {
      return SignatureFault{
          "canonicalization_unknown",
          StrCat("the canonicalization \"", mail::EscapeForPeople(c->value, 40), "\" is not known"),
          false};
    }
    signature->header_canonicalization = *header;
    signature->body_canonicalization = *body;
  }
  const Tag* h = tags.Find("h");
  if (h == nullptr) return Missing("h");
  const auto colons = static_cast<size_t>(std::count(h->value.begin(), h->value.end(), ':'));
  const size_t names = TrimFws(h->value).empty() ? 0 : colons + 1;
  if (names > limits.max_signed_fields) {
    return SignatureFault{"too_many_signed_fields",
                          StrCat("h= names more than ", limits.max_signed_fields, " fields"),
                          false};
  }
  signature->fields.reserve(names);
  bool from = false;
  for (size_t at = 0; signature->fields.size() < names;) {
    const size_t end = std::min(h->value.find(':', at), h->value.size());
    const std::string_view name = TrimFws(h->value.substr(at, end - at));
    if (dkim && name.empty()) return Syntax("h= has an empty name");
    from = from || EqualsIgnoreCase(name, "from");
    signature->fields.emplace_back(name);
    at = end + 1;
  }
  // §3.5, §6.1.1: h= must have From.
  if (dkim && !from)
    return SignatureFault{"from_not_signed", "the signature does not cover From", false};
  const Tag* bh = tags.Find("bh");
  if (bh == nullptr) return Missing("bh");
  if (!DecodeBase64Value(bh->value, &signature->body_hash)) return Syntax("bh= is not base64");
  if (signature->body_hash.size() != sizeof(Digest))
    return Syntax("bh= is not as long as a SHA-256 hash");
  if (const Tag* l = tags.Find("l")) {
    signature->body_length = ReadNumber(l->value, 76);  // §3.5 l=: up to 76 digits
    if (!signature->body_length) return Syntax("l= is not a number of octets");
  }
  return std::nullopt;
}

}  // namespace

std::string_view DkimSignature::identity_domain() const {
  const size_t at = identity.rfind('@');
  return at == std::string::npos ? std::string_view(identity)
                                 : std::string_view(identity).substr(at + 1);
}

std::optional<SignatureFault> ParseSignature(SignatureField kind, std::string_view value,
                                             DkimSignature* signature,
                                             const SignatureLimits& limits) {
  if (value.size() > limits.max_field_bytes)
    return Syntax(StrCat("the field is longer than ", limits.max_field_bytes, " octets"));
  const StatusOr<TagList> tags = TagList::Parse(value);
  if (!tags.ok()) return Syntax(StrCat("the field is malformed: ", Message(tags.status())));
  const bool dkim = kind == SignatureField::kDkim;
  if (const Tag* d = tags->Find("d")) signature->domain = std::string(d->value);
  if (const Tag* s = tags->Find("s")) signature->selector = std::string(s->value);
  if (const Tag* b = tags->Find("b")) {
    signature->b_begin = b->value_begin;
    signature->b_end = b->value_end;
    for (size_t i = 0; i < b->value.size() && signature->b_start.size() < 8; ++i) {
      if (!IsFws(b->value[i])) signature->b_start += b->value[i];
    }
  }
  if (dkim) {
    const Tag* v = tags->Find("v");
    if (v == nullptr) return Missing("v");
    if (v->value != "1") {
      return SignatureFault{"version_unknown",
                            StrCat("v=", mail::EscapeForPeople(v->value, 20), " is not known"),
                            true};
    }
  } else if (auto fault = ReadInstance(*tags, signature)) {
    return fault;
  }
  if (tags->Find("d") == nullptr) return Missing("d");
  if (!IsName(signature->domain)) return Syntax("d= is not a domain name");
  if (tags->Find("s") == nullptr) return Missing("s");
  if (!IsName(signature->selector)) return Syntax("s= is not a selector");
  if (auto fault = ReadAlgorithm(*tags, signature)) return fault;
  const Tag* b = tags->Find("b");
  if (b == nullptr) return Missing("b");
  if (!DecodeBase64Value(b->value, &signature->signature) || signature->signature.empty())
    return Syntax("b= is not base64");
  if (auto fault = ReadTimes(*tags, signature)) return fault;
  if (kind == SignatureField::kArcSeal) {
    // RFC 8617 §4.1.3: cv= is there, and of h= and bh= nothing.
    const Tag* cv = tags->Find("cv");
    if (cv == nullptr) return Missing("cv");
    signature->chain_status = AsciiLower(cv->value);
    if (signature->chain_status != "none" && signature->chain_status != "pass" &&
        signature->chain_status != "fail")
      return Syntax("cv= is neither none, pass nor fail");
    for (const char* name : {"h", "bh"}) {
      if (tags->Find(name) != nullptr)
        return Syntax(StrCat("an ARC-Seal may not have ", name, "="));
    }
    return std::nullopt;
  }
  if (auto fault = ReadBody(*tags, signature, limits, dkim)) return fault;
  if (!dkim) return std::nullopt;
  if (auto fault = ReadIdentity(*tags, signature)) return fault;
  if (const Tag* q = tags->Find("q")) {
    // §3.5: a list of methods in the signer's order; dns/txt is the only one there is.
    bool dns = false;
    for (std::string_view method : SplitColons(q->value))
      dns = dns || EqualsIgnoreCase(method, "dns/txt");
    if (!dns) return SignatureFault{"query_unknown", "q= names no method that we know", false};
  }
  if (const Tag* z = tags->Find("z")) signature->copied_fields = std::string(z->value);
  return std::nullopt;
}

namespace {

// Folder writes words, and breaks the line before one that would pass the last column.
class Folder {
 public:
  Folder(std::string* out, size_t column) : out_(out), column_(column) {}

  // Word writes `word`, with a blank or a new line before it.
  void Word(std::string_view word) {
    Break(word.size() + 1);
    if (column_ != 1) Raw(" ");
    Raw(word);
  }
  // Piece writes `piece` with nothing before it but a new line when it needs one.
  void Piece(std::string_view piece) {
    Break(piece.size());
    Raw(piece);
  }
  // Run writes octets that may be broken anywhere.
  void Run(std::string_view octets) {
    while (!octets.empty()) {
      if (column_ >= kMostColumns) NewLine();
      const size_t now = std::min(octets.size(), kMostColumns - column_);
      Raw(octets.substr(0, now));
      octets.remove_prefix(now);
    }
  }
  void Raw(std::string_view octets) {
    out_->append(octets);
    column_ += octets.size();
  }
  void Break(size_t bytes) {
    if (column_ + bytes > kMostColumns && column_ > 1) NewLine();
  }
  void NewLine() {
    out_->append("\r\n ");
    column_ = 1;
  }

 private:
  std::string* out_;
  size_t column_;
};

}  // namespace

std::string PrintSignature(SignatureField kind, const DkimSignature& signature, size_t name_bytes) {
  std::string text;
  Folder out(&text, name_bytes);
  const bool dkim = kind == SignatureField::kDkim;
  const auto word = [&](std::string_view tag, std::string_view value) {
    out.Word(StrCat(tag, "=", value, ";"));
  };
  const auto number = [&](std::string_view tag, const std::optional<uint64_t>& value) {
    if (value) word(tag, StrCat(*value));
  };
  const auto body_hash = [&] { word("bh", mail::Base64Encode(signature.body_hash)); };
  const auto canonicalization = [&] {
    word("c", StrCat(CanonicalizationName(signature.header_canonicalization), "/",
                     CanonicalizationName(signature.body_canonicalization)));
  };
  const auto fields = [&] {
    if (signature.fields.empty()) word("h", "");
    for (size_t i = 0; i < signature.fields.size(); ++i) {
      const char* end = i + 1 < signature.fields.size() ? ":" : ";";
      if (i == 0) {
        out.Word(StrCat("h=", signature.fields[i], end));
      } else {
        out.Piece(StrCat(signature.fields[i], end));
      }
    }
  };
  if (dkim) {
    word("v", "1");
    word("a", signature.algorithm);
    canonicalization();
    word("d", signature.domain);
    word("s", signature.selector);
    if (!signature.identity.empty() && signature.identity != StrCat("@", signature.domain))
      word("i", EncodeDkimQuotedPrintable(signature.identity));
    number("t", signature.signed_at_s);
    number("x", signature.expires_at_s);
    number("l", signature.body_length);
    fields();
    body_hash();
    out.Word("b=");
    out.Run(mail::Base64Encode(signature.signature));
    return text;
  }
  word("a", signature.algorithm);
  out.Word("b=");
  out.Run(mail::Base64Encode(signature.signature));
  out.Piece(";");
  // What follows is folded in the same places whether b= is there or not.
  out.NewLine();
  if (kind == SignatureField::kArcMessage) {
    body_hash();
    canonicalization();
  } else {
    word("cv", signature.chain_status);
  }
  word("d", signature.domain);
  if (kind == SignatureField::kArcMessage) fields();
  word("i", StrCat(signature.instance));
  if (kind == SignatureField::kArcMessage) number("l", signature.body_length);
  word("s", signature.selector);
  number("t", signature.signed_at_s);
  number("x", signature.expires_at_s);
  text.pop_back();  // no semicolon behind the last tag
  return text;
}

}  // namespace postern::trust
