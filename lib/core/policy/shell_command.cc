#include "lib/core/policy/shell_command.h"

#include "lib/core/base/strings.h"

namespace postern::policy {
namespace {

// Writer puts a command together and knows at each point what quotes it is in (POSIX.1-2017, Shell
// Command Language, §2.2). It does not look into `...`, $(...) and here-documents: a reference
// there may be split into words or be quoted once too often, and is text nowhere.
class Writer {
 public:
  enum class Quote { kNone, kSingle, kDouble, kComment };

  explicit Writer(std::vector<std::string>* environment) : environment_(environment) {}

  void Text(std::string_view text) {
    for (const char c : text) Put(c);
  }

  void Value(std::string_view value, bool ours) {
    if (quote_ == Quote::kComment) return;
    DropEscape();
    std::string kept(value);
    if (word_is_empty_ && !ours && !kept.empty() && kept.front() == '-') kept.front() = ':';
    const std::string name = StrCat("POSTERN_", environment_->size() + 1);
    environment_->push_back(StrCat(name, "=", kept));
    const std::string reference = StrCat("${", name, "}");
    switch (quote_) {
      case Quote::kNone: StrAppend(out_, "\"", reference, "\""); break;
      case Quote::kDouble: out_ += reference; break;
      case Quote::kSingle: StrAppend(out_, "'\"", reference, "\"'"); break;
      case Quote::kComment: break;
    }
    word_is_empty_ = false;
  }

  // Inner puts a whole command in.
  void Inner(std::string_view command) {
    DropEscape();
    switch (quote_) {
      case Quote::kNone: out_ += command; break;
      case Quote::kComment: break;
      case Quote::kSingle:
        for (const char c : command) {
          if (c == '\'') {
            out_ += "'\\''";
          } else {
            out_ += c;
          }
        }
        break;
      case Quote::kDouble:
        for (const char c : command) {
          if (c == '\\' || c == '"' || c == '$' || c == '`') out_ += '\\';
          out_ += c;
        }
        break;
    }
    word_is_empty_ = false;
  }

  bool closed() const { return (quote_ == Quote::kNone || quote_ == Quote::kComment) && !escaped_; }
  const std::string& text() const { return out_; }

 private:
  // A backslash would have protected the first octet of the value, which needs none.
  void DropEscape() {
    if (!escaped_) return;
    out_.pop_back();
    escaped_ = false;
  }

  void Put(char c) {
    out_ += c;
    if (escaped_) {
      escaped_ = false;
      if (quote_ == Quote::kNone && c != '\n') word_is_empty_ = false;
      return;
    }
    switch (quote_) {
      case Quote::kComment:
        if (c == '\n') {
          quote_ = Quote::kNone;
          word_is_empty_ = true;
        }
        return;
      case Quote::kSingle:
        if (c == '\'') {
          quote_ = Quote::kNone;
        } else {
          word_is_empty_ = false;
        }
        return;
      case Quote::kDouble:
        if (c == '"') {
          quote_ = Quote::kNone;
        } else if (c == '\\') {
          escaped_ = true;
        } else {
          word_is_empty_ = false;
        }
        return;
      case Quote::kNone: break;
    }
    if (c == '\\') {
      escaped_ = true;
    } else if (c == '\'') {
      quote_ = Quote::kSingle;
    } else if (c == '"') {
      quote_ = Quote::kDouble;
    } else if (c == '#' && word_is_empty_ && !in_word_) {
      quote_ = Quote::kComment;
    } else if (std::string_view(" \t\n;&|()<>`").find(c) != std::string_view::npos) {
      word_is_empty_ = true;
      in_word_ = false;
      return;
    } else {
      word_is_empty_ = false;
    }
    in_word_ = quote_ != Quote::kComment;
  }

  std::vector<std::string>* environment_;
  std::string out_;
  Quote quote_ = Quote::kNone;
  bool escaped_ = false;
  bool word_is_empty_ = true;  // the word that stands here has no octet yet
  bool in_word_ = false;       // though it may have begun, by a quote
};

// Write expands `format` into `writer`. `inner` is the inner command; null where there is none.
Status Write(std::string_view format, const FormatContext& context, const std::string* inner,
             Writer* writer) {
  const StatusOr<std::vector<FormatPiece>> pieces =
      ExpandPieces(format, context, FormatUse::kCommand, /*allow_mda=*/inner != nullptr);
  if (!pieces.ok()) return pieces.status();
  for (const FormatPiece& piece : *pieces) {
    switch (piece.kind) {
      case FormatPiece::Kind::kText: writer->Text(piece.text); break;
      case FormatPiece::Kind::kOurs: writer->Value(piece.text, true); break;
      case FormatPiece::Kind::kValue: writer->Value(piece.text, false); break;
      case FormatPiece::Kind::kMda: writer->Inner(*inner); break;
    }
  }
  if (!writer->closed()) {
    return InvalidArgument(
        StrCat("\"", Escape(format, 80), "\": a quote or a backslash at the end is not closed"));
  }
  return OkStatus();
}

}  // namespace

StatusOr<ShellCommand> MakeShellCommand(std::string_view command, std::string_view wrapper,
                                        const FormatContext& context) {
  ShellCommand made;
  Writer inner(&made.environment_);
  POSTERN_RETURN_IF_ERROR(Write(command, context, nullptr, &inner));
  made.text_ = inner.text();
  if (!wrapper.empty()) {
    Writer outer(&made.environment_);
    POSTERN_RETURN_IF_ERROR(Write(wrapper, context, &made.text_, &outer));
    made.text_ = outer.text();
  }
  return made;
}

Status CheckShellCommand(std::string_view command, bool is_wrapper) {
  POSTERN_RETURN_IF_ERROR(CheckFormat(command, is_wrapper));
  // Values of ten octets: what cannot be cut from those is not told from what never can.
  FormatContext context;
  context.sender = {"aaaaaaaaaa", "aaaaaaaaaa"};
  context.recipient = context.destination = context.sender;
  context.user_name = "aaaaaaaaaa";
  context.home = "/";
  const StatusOr<ShellCommand> made = is_wrapper ? MakeShellCommand("true", command, context)
                                                 : MakeShellCommand(command, "", context);
  if (!made.ok() && Message(made.status()).find("not closed") != std::string_view::npos)
    return made.status();
  return OkStatus();
}

}  // namespace postern::policy
