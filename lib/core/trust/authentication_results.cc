#include "lib/core/trust/authentication_results.h"

#include <algorithm>
#include <optional>

#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/utf8.h"

namespace postern::trust {
namespace {

constexpr std::string_view kFieldName = "Authentication-Results";
constexpr size_t kMaxValueBytes = 600;
constexpr size_t kFoldColumn = 78;  // RFC 5322 §2.1.1

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Keyword is Ldh-str of RFC 5321 §4.1.2; in the wild methods and properties have "_" and "." too.
bool IsKeywordChar(char c) { return IsAsciiAlnum(c) || c == '-' || c == '_'; }
bool IsKeyword(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), IsKeywordChar);
}

// IsTokenChar is RFC 2045 §5.1, with RFC 6532's characters.
bool IsTokenChar(char c) {
  if (!IsAscii(c)) return true;
  return c > 0x20 && c < 0x7f &&
         std::string_view("()<>@,;:\\\"/[]?=").find(c) == std::string_view::npos;
}

// --- writing ---

// Clean is `text` cut to a bound, on one line, of octets that may stand in the field.
std::string Clean(std::string_view text, bool utf8) {
  text = mail::TruncateUtf8(text, kMaxValueBytes);
  std::string out(text);
  const bool keep = utf8 && mail::IsValidUtf8(text);
  for (char& c : out) {
    if (IsBlank(c)) c = ' ';
    if (IsAscii(c) ? !IsAsciiPrintable(c) : !keep) c = '?';
  }
  return out;
}

bool IsDotAtom(std::string_view text) {
  if (text.empty() || text.front() == '.' || text.back() == '.') return false;
  if (text.find("..") != std::string_view::npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsAsciiAlnum(c) || !IsAscii(c) ||
           std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
  });
}

bool IsDomainText(std::string_view text) {
  return !text.empty() && text.front() != '.' && std::all_of(text.begin(), text.end(), [](char c) {
    return IsAsciiAlnum(c) || !IsAscii(c) || c == '-' || c == '.' || c == '_';
  });
}

// Quoted is a value as token, as address (properties only: §2.2 "pvalue") or as quoted string.
std::string Quoted(std::string_view text, bool utf8, bool address_allowed) {
  std::string clean = Clean(text, utf8);
  if (!clean.empty() && std::all_of(clean.begin(), clean.end(), IsTokenChar)) return clean;
  if (address_allowed) {
    const size_t at = clean.rfind('@');
    if (at != std::string::npos && IsDomainText(std::string_view(clean).substr(at + 1)) &&
        (at == 0 || IsDotAtom(std::string_view(clean).substr(0, at))))
      return clean;
  }
  std::string out = "\"";
  for (char c : clean) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// AsciiValue is a domain, or an address, in ASCII: U-labels as A-labels, a local part that is not
// ASCII left out before its "@"; nullopt when nothing can be told.
std::optional<std::string> AsciiValue(std::string_view text) {
  // What is no UTF-8 is no name: Clean makes it harmless.
  if (IsAscii(text) || !mail::IsValidUtf8(text)) return std::string(text);
  const size_t at = text.rfind('@');
  const std::string_view domain = at == std::string_view::npos ? text : text.substr(at + 1);
  std::string out;
  if (at != std::string_view::npos)
    StrAppend(out, IsAscii(text.substr(0, at)) ? text.substr(0, at) : "", "@");
  if (IsAscii(domain)) return out + std::string(domain);
  // A name that is no domain, such as a login, is not made one.
  if (at == std::string_view::npos && domain.find('.') == std::string_view::npos)
    return std::nullopt;
  const StatusOr<std::string> ascii = mail::DomainToAscii(domain);
  if (!ascii.ok()) return std::nullopt;
  return out + *ascii;
}

std::string Comment(std::string_view text, bool utf8) {
  std::string out = "(";
  for (char c : Clean(text, utf8)) {
    if (c == '(' || c == ')' || c == '\\') out += '\\';
    out += c;
  }
  return out + ')';
}

// Words are the pieces of one result between which a line may be folded.
std::vector<std::string> Words(const AuthMethodResult& result, bool utf8) {
  std::vector<std::string> words;
  if (!IsKeyword(result.method) || !IsKeyword(result.result)) return words;
  std::string first = result.method;
  if (result.version != 1) StrAppend(first, '/', result.version);
  words.push_back(StrCat(first, '=', result.result));
  if (!result.comment.empty()) words.push_back(Comment(result.comment, utf8));
  if (!result.reason.empty())
    words.push_back(StrCat("reason=", Quoted(result.reason, utf8, false)));
  for (const AuthProperty& property : result.properties) {
    if (!IsKeyword(property.ptype) || !IsKeyword(property.property)) continue;
    const std::optional<std::string> value =
        utf8 ? std::optional<std::string>(property.value) : AsciiValue(property.value);
    if (!value) continue;
    words.push_back(
        StrCat(property.ptype, '.', property.property, '=', Quoted(*value, utf8, true)));
  }
  return words;
}

// --- reading ---

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\0' : text_[at_]; }
  bool Take(char c) {
    if (peek() != c || done()) return false;
    ++at_;
    return true;
  }

  // Cfws passes over blanks and comments (nested to any depth); the text of the first comment goes
  // to `*comment` when that is empty.
  void Cfws(std::string* comment = nullptr) {
    while (!done()) {
      if (IsBlank(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '(') {
        std::string text = ReadComment();
        if (comment != nullptr && comment->empty()) *comment = std::move(text);
      } else {
        return;
      }
    }
  }

  std::string_view Keyword() {
    const size_t start = at_;
    while (!done() && IsKeywordChar(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }

  // Value reads quoted strings and all else up to a blank, a semicolon or a comment: what "value"
  // and "pvalue" allow, and more.
  std::string Value() {
    std::string out;
    while (!done()) {
      const char c = text_[at_];
      if (c == '"') {
        QuotedString(out);
      } else if (IsBlank(c) || c == ';' || c == '(') {
        break;
      } else {
        out += c;
        ++at_;
      }
    }
    return out;
  }

  // Identity reads the authserv-id: a token or a quoted string.
  std::optional<std::string> Identity() {
    std::string out;
    if (peek() == '"') {
      QuotedString(out);
    } else {
      while (!done() && (IsTokenChar(text_[at_]) || text_[at_] == ':' || text_[at_] == '/' ||
                         text_[at_] == '@' || text_[at_] == '[' || text_[at_] == ']'))
        out += text_[at_++];
    }
    if (out.empty()) return std::nullopt;
    return out;
  }

  // SkipResult goes to behind the next semicolon that is not quoted or in a comment; false at the
  // end.
  bool SkipResult() {
    std::string unused;
    while (!done()) {
      const char c = text_[at_];
      if (c == ';') {
        ++at_;
        return true;
      }
      if (c == '(') {
        ReadComment();
      } else if (c == '"') {
        unused.clear();
        QuotedString(unused);
      } else {
        ++at_;
      }
    }
    return false;
  }

  size_t at() const { return at_; }
  void set_at(size_t at) { at_ = at; }

 private:
  std::string ReadComment() {
    std::string out;
    size_t depth = 0;
    while (!done()) {
      const char c = text_[at_++];
      if (c == '\\' && !done()) {
        out += text_[at_++];
        continue;
      }
      if (c == '(' && depth++ == 0) continue;
      if (c == ')' && --depth == 0) break;
      if (c != '\r' && c != '\n') out += c;
    }
    return out;
  }

  void QuotedString(std::string& out) {
    ++at_;
    while (!done()) {
      const char c = text_[at_++];
      if (c == '"') return;
      if (c == '\\' && !done()) {
        out += text_[at_++];
      } else if (c != '\r' && c != '\n') {
        out += c;
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

// ReadResult reads one resinfo behind its semicolon; nullopt when it is not one.
std::optional<AuthMethodResult> ReadResult(Scanner& in, const AuthResultsLimits& limits) {
  AuthMethodResult out;
  in.Cfws();
  out.method = AsciiLower(in.Keyword());
  in.Cfws();
  if (in.Take('/')) {
    in.Cfws();
    const std::optional<uint64_t> version = ParseUint(in.Keyword(), 1'000'000);
    if (!version) return std::nullopt;
    out.version = static_cast<unsigned>(*version);
    in.Cfws();
  }
  if (out.method.empty() || !in.Take('=')) return std::nullopt;
  in.Cfws();
  out.result = AsciiLower(in.Keyword());
  if (out.result.empty()) return std::nullopt;
  in.Cfws(&out.comment);
  while (!in.done() && in.peek() != ';') {
    const size_t start = in.at();
    AuthProperty property;
    property.ptype = AsciiLower(in.Keyword());
    in.Cfws();
    if (EqualsIgnoreCase(property.ptype, "reason") && in.Take('=')) {
      in.Cfws();
      out.reason = in.Value();
    } else if (!property.ptype.empty() && in.Take('.')) {
      in.Cfws();
      // Properties in the wild have dots of their own; the last name counts with them.
      property.property = AsciiLower(in.Keyword());
      in.Cfws();
      if (in.Take('=')) {
        in.Cfws();
        property.value = in.Value();
        if (out.properties.size() < limits.max_properties)
          out.properties.push_back(std::move(property));
      }
    }
    in.Cfws();
    if (in.at() == start) in.set_at(start + 1);  // something that is nothing
  }
  return out;
}

// Head reads "authserv-id [version]"; what follows must be a semicolon or the end.
bool ReadHead(Scanner& in, AuthenticationResults* out) {
  in.Cfws();
  std::optional<std::string> id = in.Identity();
  if (!id) return false;
  out->authserv_id = *std::move(id);
  in.Cfws();
  if (IsAsciiDigit(in.peek())) {
    const std::optional<uint64_t> version = ParseUint(in.Keyword(), 1'000'000);
    // A version that is no number is one that we do not know.
    out->version = version ? static_cast<unsigned>(*version) : 0;
    in.Cfws();
  }
  return in.done() || in.peek() == ';';
}

std::string NormalId(std::string_view id) {
  if (id.ends_with('.')) id.remove_suffix(1);
  if (!IsAscii(id)) {
    StatusOr<std::string> ascii = mail::DomainToAscii(id);
    if (ascii.ok()) return *std::move(ascii);
  }
  return AsciiLower(id);
}

}  // namespace

std::string_view AuthMethodResult::Property(std::string_view ptype,
                                            std::string_view property) const {
  for (const AuthProperty& one : properties)
    if (EqualsIgnoreCase(one.ptype, ptype) && EqualsIgnoreCase(one.property, property))
      return one.value;
  return "";
}

bool IsInternationalized(std::string_view message, std::string_view mail_from) {
  if (!IsAscii(mail_from)) return mail::IsValidUtf8(mail_from);
  const size_t end = std::min(message.find("\n\n"), message.find("\n\r\n"));
  const std::string_view header = message.substr(0, end);
  return !IsAscii(header) && mail::IsValidUtf8(header);
}

Status CheckAuthservId(std::string_view id) {
  if (!id.empty() && mail::IsValidUtf8(id) && std::all_of(id.begin(), id.end(), IsTokenChar))
    return OkStatus();
  return InvalidArgument(
      StrCat("authserv_id \"", Escape(id, 80),
             "\": the name of a host is wanted, such as mx.example.org, without blanks and ;"));
}

std::string FormatAuthMethodResult(const AuthMethodResult& result, bool utf8) {
  return StrJoin(Words(result, utf8), " ");
}

std::string FormatAuthenticationResults(const AuthenticationResults& results, bool utf8) {
  const std::string id =
      utf8 ? results.authserv_id : AsciiValue(results.authserv_id).value_or(results.authserv_id);
  std::string out = Quoted(id, utf8, false);
  if (results.version != 1) StrAppend(out, ' ', results.version);
  bool any = false;
  for (const AuthMethodResult& result : results.results) {
    const std::vector<std::string> words = Words(result, utf8);
    if (words.empty()) continue;
    any = true;
    out += ";\r\n\t";
    size_t column = 8;
    bool first = true;
    for (const std::string& word : words) {
      if (!first && column + 1 + word.size() > kFoldColumn) {
        out += "\r\n\t ";
        column = 9;
      } else if (!first) {
        out += ' ';
        ++column;
      }
      first = false;
      out += word;
      column += word.size();
    }
  }
  if (!any) out += "; none";
  return out;
}

StatusOr<AuthenticationResults> ParseAuthenticationResults(std::string_view value,
                                                           const AuthResultsLimits& limits) {
  AuthenticationResults out;
  Scanner in(value.substr(0, limits.max_bytes));
  if (!ReadHead(in, &out)) return InvalidArgument("there is no authserv-id at the beginning");
  while (in.SkipResult()) {
    const size_t start = in.at();
    std::optional<AuthMethodResult> result = ReadResult(in, limits);
    if (!result) {
      in.set_at(start);  // what it is, is found out by its semicolon
      continue;
    }
    if (out.results.size() >= limits.max_results) break;
    out.results.push_back(*std::move(result));
  }
  return out;
}

bool IsForgedAuthenticationResults(std::string_view value, const ForgedOptions& options) {
  if (options.remove_all) return true;
  AuthenticationResults head;
  Scanner in(value);
  const bool readable = ReadHead(in, &head);
  // An unreadable field that begins with our name is ours for whoever reads it more kindly.
  if (!head.authserv_id.empty()) {
    const std::string_view whole = head.authserv_id;
    const std::string id = NormalId(whole);
    // "mx.example/1" is no token: a reader that stops at what may not stand in one takes it for
    // "mx.example" (RFC 8601 §2.2).
    const auto end = std::find_if_not(whole.begin(), whole.end(), IsTokenChar);
    const std::string token = NormalId(whole.substr(0, static_cast<size_t>(end - whole.begin())));
    for (const std::string& ours : options.authserv_ids)
      if (id == NormalId(ours) || token == NormalId(ours)) return true;
  }
  if (!readable) return options.remove_unreadable;
  return head.version != 1 && options.remove_unknown_versions;
}

std::vector<OctetRange> FindForgedAuthenticationResults(std::string_view message,
                                                        const ForgedOptions& options) {
  std::vector<OctetRange> out;
  size_t field = 0;  // where the field begins
  size_t value = 0;  // its value; 0: not ours to judge
  bool pending = false;
  const auto finish = [&](size_t end) {
    if (pending && IsForgedAuthenticationResults(message.substr(value, end - value), options))
      out.push_back({field, end});
    pending = false;
  };
  size_t at = 0;
  while (at < message.size()) {
    size_t end = message.find('\n', at);
    end = end == std::string_view::npos ? message.size() : end + 1;
    const std::string_view line = message.substr(at, end - at);
    if (line == "\n" || line == "\r\n") break;
    if (line[0] != ' ' && line[0] != '\t') {
      finish(at);
      if (StartsWithIgnoreCase(line, kFieldName)) {
        size_t colon = kFieldName.size();
        while (colon < line.size() && (line[colon] == ' ' || line[colon] == '\t')) ++colon;
        if (colon < line.size() && line[colon] == ':') {
          pending = true;
          field = at;
          value = at + colon + 1;
        }
      }
    }
    at = end;
  }
  finish(at);
  return out;
}

std::string RemoveForgedAuthenticationResults(std::string_view message,
                                              const ForgedOptions& options, size_t* body_offset,
                                              size_t* removed) {
  size_t end = 0;
  while (end < message.size()) {
    const bool empty = message.substr(end, 1) == "\n" || message.substr(end, 2) == "\r\n";
    const size_t line_end = message.find('\n', end);
    end = line_end == std::string_view::npos ? message.size() : line_end + 1;
    if (empty) break;
  }
  *body_offset = end;
  std::string out;
  size_t copied = 0;
  const std::vector<OctetRange> forged =
      FindForgedAuthenticationResults(message.substr(0, end), options);
  if (removed != nullptr) *removed = forged.size();
  for (const OctetRange& range : forged) {
    out.append(message.substr(copied, range.begin - copied));
    copied = range.end;
  }
  out.append(message.substr(copied, end - copied));
  return out;
}

}  // namespace postern::trust
