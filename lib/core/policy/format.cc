#include "lib/core/policy/format.h"

#include <array>

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

enum class Origin {
  kOurs,      // the home and the inner command: not escaped
  kStranger,  // what came in by SMTP
  kAccount,   // the user name: escaped, but not a stranger's
};

struct Variable {
  const char* name;
  Origin origin;
  std::string (*value)(const FormatContext& context);
};

// The variables; names are compared without case.
const Variable kVariables[] = {
    {"sender", Origin::kStranger, [](const FormatContext& c) { return c.sender.ToString(); }},
    {"sender.user", Origin::kStranger, [](const FormatContext& c) { return c.sender.local_part; }},
    {"sender.domain", Origin::kStranger, [](const FormatContext& c) { return c.sender.domain; }},
    {"rcpt", Origin::kStranger, [](const FormatContext& c) { return c.recipient.ToString(); }},
    {"rcpt.user", Origin::kStranger, [](const FormatContext& c) { return c.recipient.local_part; }},
    {"rcpt.domain", Origin::kStranger, [](const FormatContext& c) { return c.recipient.domain; }},
    {"dest", Origin::kStranger, [](const FormatContext& c) { return c.destination.ToString(); }},
    {"dest.user", Origin::kStranger,
     [](const FormatContext& c) { return c.destination.local_part; }},
    {"dest.domain", Origin::kStranger, [](const FormatContext& c) { return c.destination.domain; }},
    {"user.username", Origin::kAccount, [](const FormatContext& c) { return c.user_name; }},
    {"user.directory", Origin::kOurs, [](const FormatContext& c) { return c.home; }},
    {"mbox.from", Origin::kStranger,
     [](const FormatContext& c) {
       return c.sender.empty() ? std::string("MAILER-DAEMON") : c.sender.ToString();
     }},
    {"mda", Origin::kOurs, [](const FormatContext& c) { return c.mda; }},
};

std::string Strip(const std::string& value, char delimiter) {
  const size_t at = value.rfind('@');
  const std::string_view user = std::string_view(value).substr(0, at);
  const size_t tag = user.find(delimiter);
  if (tag == std::string_view::npos) return value;
  return StrCat(user.substr(0, tag), at == std::string::npos ? "" : value.substr(at));
}

struct Modifier {
  const char* name;
  std::string (*apply)(const std::string& value, const FormatContext& context);
};
const Modifier kModifiers[] = {
    {"lowercase", [](const std::string& v, const FormatContext&) { return AsciiLower(v); }},
    {"uppercase", [](const std::string& v, const FormatContext&) { return AsciiUpper(v); }},
    {"strip", [](const std::string& v,
                 const FormatContext& c) { return Strip(v, c.sub_address_delimiter); }},
    {"raw", [](const std::string& v, const FormatContext&) { return v; }},
};

// Token is the inside of %{...}, taken apart.
struct Token {
  const Variable* variable = nullptr;
  bool has_range = false;
  int64_t begin = 0;
  std::optional<int64_t> end;  // inclusive; unset: to the end of the value
  std::vector<const Modifier*> modifiers;
  bool raw = false;
};

std::optional<int64_t> ParseIndex(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  const std::optional<uint64_t> value = ParseUint(text, 100000);
  if (!value) return std::nullopt;
  return negative ? -static_cast<int64_t>(*value) : static_cast<int64_t>(*value);
}

StatusOr<Token> ParseToken(std::string_view text) {
  const auto bad = [&](std::string_view why) {
    return InvalidArgument(StrCat("%{", Escape(text, 80), "}: ", why));
  };
  Token token;
  const size_t name_end = text.find_first_of("[:");
  const std::string_view name = text.substr(0, name_end);
  std::vector<std::string> known;
  for (const Variable& row : kVariables) {
    if (EqualsIgnoreCase(row.name, name)) token.variable = &row;
  }
  if (token.variable == nullptr) return bad("no such variable");
  std::string_view rest =
      name_end == std::string_view::npos ? std::string_view() : text.substr(name_end);
  if (!rest.empty() && rest[0] == '[') {
    const size_t close = rest.find(']');
    if (close == std::string_view::npos) return bad("[ without ]");
    const std::string_view range = rest.substr(1, close - 1);
    rest = rest.substr(close + 1);
    const size_t colon = range.find(':');
    const std::string_view first = range.substr(0, colon);
    token.has_range = true;
    if (colon == std::string_view::npos) {
      const std::optional<int64_t> index = ParseIndex(first);
      if (!index) return bad("a number is wanted in [ ]");
      token.begin = *index;
      token.end = *index;
    } else {
      const std::string_view second = range.substr(colon + 1);
      if (!first.empty()) {
        const std::optional<int64_t> index = ParseIndex(first);
        if (!index) return bad("a number is wanted before the colon in [ ]");
        token.begin = *index;
      }
      if (!second.empty()) {
        token.end = ParseIndex(second);
        if (!token.end) return bad("a number is wanted behind the colon in [ ]");
      }
      if (first.empty() && second.empty()) return bad("[:] says nothing");
    }
  }
  if (rest.empty()) return token;
  if (rest[0] != ':') return bad("only :modifier may follow");
  for (const std::string_view word : Split(rest.substr(1), '|')) {
    const Modifier* found = nullptr;
    for (const Modifier& row : kModifiers) {
      if (EqualsIgnoreCase(row.name, word)) found = &row;
    }
    if (found == nullptr) return bad(StrCat("no such modifier: ", Escape(word, 40)));
    token.raw = token.raw || EqualsIgnoreCase(word, "raw");
    token.modifiers.push_back(found);
  }
  return token;
}

// Cut applies [a:b]. Negative positions count from the end.
StatusOr<std::string> Cut(const std::string& value, const Token& token) {
  if (!token.has_range || value.empty()) return value;
  const int64_t size = static_cast<int64_t>(value.size());
  int64_t begin = token.begin < 0 ? token.begin + size : token.begin;
  int64_t end = !token.end ? size - 1 : *token.end < 0 ? *token.end + size : *token.end;
  if (begin < 0) begin = 0;
  if (begin >= size) return InvalidArgument("a cut that begins beyond the end of the value");
  if (end >= size) end = size - 1;
  if (end < begin) return std::string();
  return value.substr(static_cast<size_t>(begin), static_cast<size_t>(end - begin) + 1);
}

void Neutralize(std::string* value, std::string_view characters) {
  for (char& c : *value) {
    if (characters.find(c) != std::string_view::npos) c = ':';
  }
}

constexpr std::string_view kEscaped = "!#$%&'*?`{|}~";
constexpr std::string_view kCommandMarks = " \t\"\\;()<>";

StatusOr<std::string> ValueOf(const Token& token, const FormatContext& context, FormatUse use) {
  StatusOr<std::string> value = Cut(token.variable->value(context), token);
  if (!value.ok()) return value.status();
  for (const Modifier* modifier : token.modifiers) *value = modifier->apply(*value, context);
  if (token.variable->origin == Origin::kOurs) return value;
  if (!token.raw) Neutralize(&*value, kEscaped);
  for (char& c : *value) {
    const unsigned char octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f) c = ':';
  }
  // A stranger chooses neither directories nor words of a command, raw or not.
  Neutralize(&*value, use == FormatUse::kPath ? std::string_view("/") : kCommandMarks);
  return value;
}

// CheckPath refuses what would leave the directory that the operator named.
Status CheckPath(std::string_view path) {
  for (const std::string_view component : Split(path, '/')) {
    if (component == "." || component == "..")
      return InvalidArgument(
          StrCat("path \"", Escape(path), "\" has a component \"", component, "\""));
  }
  for (const char c : path) {
    const unsigned char octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f) return InvalidArgument("a control character in a path");
  }
  return OkStatus();
}

// IsEmptyComponent tells whether the part of `path` between slashes that has the place `at` is
// empty.
bool IsEmptyComponent(std::string_view path, size_t at) {
  return (at == 0 || path[at - 1] == '/') && (at == path.size() || path[at] == '/');
}

// Walk reads the format and hands literal text and tokens on.
template <typename OnLiteral, typename OnToken>
Status Walk(std::string_view format, const OnLiteral& on_literal, const OnToken& on_token) {
  size_t at = 0;
  while (at < format.size()) {
    const size_t mark = format.find('%', at);
    POSTERN_RETURN_IF_ERROR(
        on_literal(format.substr(at, mark == std::string_view::npos ? mark : mark - at)));
    if (mark == std::string_view::npos) return OkStatus();
    const char next = mark + 1 < format.size() ? format[mark + 1] : '\0';
    if (next == '%') {
      POSTERN_RETURN_IF_ERROR(on_literal("%"));
      at = mark + 2;
    } else if (next == '{') {
      const size_t close = format.find('}', mark);
      if (close == std::string_view::npos)
        return InvalidArgument(StrCat("\"", Escape(format.substr(mark), 80), "\": %{ without }"));
      StatusOr<Token> token = ParseToken(format.substr(mark + 2, close - mark - 2));
      if (!token.ok()) return token.status();
      POSTERN_RETURN_IF_ERROR(on_token(*token));
      at = close + 1;
    } else {
      POSTERN_RETURN_IF_ERROR(on_literal("%"));
      at = mark + 1;
    }
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::string> ExpandFormat(std::string_view format, const FormatContext& context,
                                   FormatUse use) {
  std::string out;
  const auto append = [&](std::string_view text) {
    if (text.size() > kMaxFormatResultBytes - out.size()) {
      return ResourceExhausted(
          StrCat("the result is longer than ", kMaxFormatResultBytes, " octets"));
    }
    out.append(text);
    return OkStatus();
  };
  if (format.substr(0, 2) == "~/") {
    if (context.home.empty()) return FailedPrecondition("~/ without a home");
    POSTERN_RETURN_IF_ERROR(append(context.home));
    format.remove_prefix(1);
  }
  std::vector<size_t> empty;  // places of empty values
  POSTERN_RETURN_IF_ERROR(Walk(format, append, [&](const Token& token) {
    StatusOr<std::string> value = ValueOf(token, context, use);
    if (!value.ok()) return value.status();
    // Notices have no sender, and nobody chooses that.
    const bool is_null_sender =
        context.sender.empty() && StartsWithIgnoreCase(token.variable->name, "sender");
    if (value->empty() && token.variable->origin != Origin::kOurs && !is_null_sender)
      empty.push_back(out.size());
    return append(*value);
  }));
  if (use == FormatUse::kPath) {
    POSTERN_RETURN_IF_ERROR(CheckPath(out));
    for (const size_t at : empty) {
      if (IsEmptyComponent(out, at))
        return InvalidArgument(StrCat("path \"", Escape(out), "\" has an empty component"));
    }
  }
  return out;
}

StatusOr<std::vector<FormatPiece>> ExpandPieces(std::string_view format,
                                                const FormatContext& context, FormatUse use,
                                                bool allow_mda) {
  using Kind = FormatPiece::Kind;
  std::vector<FormatPiece> pieces;
  size_t size = 0;
  const auto add = [&](Kind kind, std::string_view text) {
    if (text.size() > kMaxFormatResultBytes - size) {
      return ResourceExhausted(
          StrCat("the result is longer than ", kMaxFormatResultBytes, " octets"));
    }
    size += text.size();
    pieces.push_back({kind, std::string(text)});
    return OkStatus();
  };
  if (format.substr(0, 2) == "~/") {
    if (context.home.empty()) return FailedPrecondition("~/ without a home");
    POSTERN_RETURN_IF_ERROR(add(Kind::kOurs, context.home));
    format.remove_prefix(1);
  }
  POSTERN_RETURN_IF_ERROR(Walk(
      format, [&](std::string_view text) { return add(Kind::kText, text); },
      [&](const Token& token) {
        if (EqualsIgnoreCase(token.variable->name, "mda")) {
          if (!allow_mda) return InvalidArgument("%{mda} is for mda wrappers only");
          return add(Kind::kMda, "");
        }
        StatusOr<std::string> value = ValueOf(token, context, use);
        if (!value.ok()) return value.status();
        return add(token.variable->origin == Origin::kOurs ? Kind::kOurs : Kind::kValue, *value);
      }));
  return pieces;
}

Status CheckFormat(std::string_view format, bool allow_mda) {
  return Walk(
      format, [](std::string_view) { return OkStatus(); },
      [&](const Token& token) {
        if (!allow_mda && EqualsIgnoreCase(token.variable->name, "mda")) {
          return InvalidArgument("%{mda} is for mda wrappers only");
        }
        return OkStatus();
      });
}

}  // namespace postern::policy
