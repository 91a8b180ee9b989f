#include "lib/core/message/parser.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/scan.h"

namespace postern::message {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// The octets that a field name may have: RFC 5322 §2.2 gives 33 to 126 without the colon; 8-bit
// ones are met and kept.
bool IsNameOctet(char c) { return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != ':'; }

}  // namespace

// Parser holds what is open while the message is walked once from front to back.
class Parser {
 public:
  Parser(std::string_view raw, const ParseOptions& options, MessageView* view)
      : raw_(raw), options_(options), view_(*view) {
    view_.raw_ = raw;
    view_.parts_.reserve(8);
    view_.headers_.reserve(32);
  }

  void Run() {
    size_t at = Descend(OpenPart(kNoPart, 0));
    while (!stopped_ && !frames_.empty() && NextDelimiter(&at)) {
    }
    CloseDownTo(kNoPart, raw_.size());
  }

  void RunHeaderOnly() {
    OpenPart(kNoPart, 0);
    CloseDownTo(kNoPart, raw_.size());
  }

 private:
  // Frame is a multipart whose delimiters are looked for.
  struct Frame {
    uint32_t part;
    std::string_view boundary;
  };
  // Line is one delimiter line that was recognised.
  struct Delimiter {
    size_t frame;
    bool close;
    size_t next_line;
  };

  Part& part(uint32_t index) { return view_.parts_[index]; }

  void Note(Defect defect, uint32_t index, size_t offset) {
    if (view_.defects_.size() < options_.max_defects)
      view_.defects_.push_back({defect, index, offset});
  }

  // OpenPart makes a part below `parent` whose header begins at `at`, reads its header and makes it
  // the current one. It returns where its body begins.
  size_t OpenPart(uint32_t parent, size_t at) {
    const auto index = static_cast<uint32_t>(view_.parts_.size());
    view_.parts_.emplace_back();
    Part& p = view_.parts_.back();
    p.header_offset = at;
    p.parent = parent;
    p.first_header = static_cast<uint32_t>(view_.headers_.size());
    if (parent != kNoPart) {
      Part& above = part(parent);
      p.depth = static_cast<uint16_t>(above.depth + 1);
      if (above.first_child == kNoPart) {
        above.first_child = index;
      } else {
        part(last_child_[parent_slot(parent)]).next_sibling = index;
      }
      ++above.child_count;
      last_child_[parent_slot(parent)] = index;
      // RFC 2046 §5.1.5: in a digest parts are messages unless they say otherwise.
      if (above.kind == PartKind::kMultipart && above.Is("multipart", "digest")) {
        p.type = "message";
        p.subtype = "rfc822";
      }
    }
    current_ = index;
    ReadHeader(index);
    return part(index).body_offset;
  }

  // The last child of an open part is kept by its depth: one part of each depth is open at a time.
  size_t parent_slot(uint32_t parent) {
    const size_t depth = part(parent).depth;
    if (last_child_.size() <= depth) last_child_.resize(depth + 1, kNoPart);
    return depth;
  }

  // Descend decides what the current part is and, while it is a message, goes into it. It returns
  // where to look for delimiters.
  size_t Descend(size_t at) {
    while (true) {
      const uint32_t index = current_;
      Part& p = part(index);
      if (p.opaque) return at;
      if (p.Is("multipart", "")) {
        if (p.encoding != TransferEncoding::kIdentity) {
          Note(Defect::kEncodedMultipart, index, p.header_offset);
          p.encoding = TransferEncoding::kIdentity;
        }
        if (!AtDepthLimit(index)) OpenMultipart(index);
        return at;
      }
      if (!p.Is("message", "rfc822") && !p.Is("message", "global")) return at;
      if (p.encoding != TransferEncoding::kIdentity) {
        // RFC 6532 §3.7: message/global may be encoded.
        if (!p.Is("message", "global")) Note(Defect::kEncodedMessage, index, p.header_offset);
        return at;
      }
      if (AtDepthLimit(index)) return at;
      // A part that ended with its header has no message in it.
      if (!part_has_body_) return at;
      if (!MakeRoom(at)) return at;
      part(index).kind = PartKind::kMessage;
      at = OpenPart(index, at);
      if (stopped_) return at;
    }
  }

  bool AtDepthLimit(uint32_t index) {
    Part& p = part(index);
    if (p.depth < options_.max_depth) return false;
    p.opaque = true;
    Note(Defect::kDepthLimit, index, p.body_offset);
    return true;
  }

  // MakeRoom tells whether one more part may be made; when not, the current part takes the rest of
  // the message.
  bool MakeRoom(size_t at) {
    if (view_.parts_.size() < options_.max_parts) return true;
    Stop(Defect::kPartLimit, at);
    return false;
  }

  void Stop(Defect defect, size_t at) {
    part(current_).opaque = true;
    Note(defect, current_, at);
    stopped_ = true;
  }

  void OpenMultipart(uint32_t index) {
    Part& p = part(index);
    const Header* header = view_.Find(p, Field::kContentType);
    std::string_view boundary;
    std::string_view type, subtype, rest;
    if (header != nullptr && ScanMediaType(header->value, &type, &subtype, &rest)) {
      boundary = FindBoundary(rest);
    }
    // RFC 2046 §5.1.1: a boundary does not end in a blank. One made of blanks, or with a line end
    // inside, matches nothing.
    while (!boundary.empty() && IsBlank(boundary.back())) boundary.remove_suffix(1);
    if (boundary.empty() || boundary.size() > options_.max_boundary_bytes ||
        boundary.find_first_of("\r\n") != std::string_view::npos) {
      Note(Defect::kMultipartNoBoundary, index, p.header_offset);
      return;
    }
    p.kind = PartKind::kMultipart;
    frames_.push_back({index, boundary});
    MarkFirsts();
  }

  // FindBoundary gives the value of the boundary parameter. It is a view into the message where it
  // can be; one with escapes or folding, or in the pieces of RFC 2231, is kept in boundaries_.
  std::string_view FindBoundary(std::string_view parameters) {
    ParameterScanner scanner(parameters);
    RawParameter parameter;
    bool pieces = false;
    while (scanner.Next(&parameter)) {
      if (EqualsIgnoreCase(parameter.name, "boundary")) {
        if (!parameter.quoted ||
            parameter.value.find_first_of("\\\r\n") == std::string_view::npos) {
          return parameter.value;
        }
        boundaries_.push_back(parameter.Unquoted());
        return boundaries_.back();
      }
      pieces = pieces || StartsWithIgnoreCase(parameter.name, "boundary*");
    }
    if (!pieces) return {};
    const ParameterList list = ParseParameters(parameters);
    const std::string* value = list.Find("boundary");
    if (value == nullptr) return {};
    boundaries_.push_back(*value);
    return boundaries_.back();
  }

  // MarkFirsts notes how the open boundaries begin, so that most lines that begin with "--" are
  // passed over at once.
  void MarkFirsts() {
    firsts_.fill(false);
    for (const Frame& frame : frames_)
      firsts_[static_cast<unsigned char>(frame.boundary.front())] = true;
  }

  // MatchDelimiter tells whether the line at `at`, which begins with "--", is a delimiter of an
  // open multipart, the innermost one first (RFC 2046 §5.1.2: the delimiter of an outer one ends
  // the inner ones). What does not begin with a boundary is not read to its end.
  bool MatchDelimiter(size_t at, Delimiter* found) const {
    const std::string_view line = raw_.substr(at + 2);
    for (size_t i = frames_.size(); i-- > 0;) {
      const std::string_view boundary = frames_[i].boundary;
      if (line.size() < boundary.size() || line[0] != boundary[0] ||
          std::memcmp(line.data(), boundary.data(), boundary.size()) != 0)
        continue;
      size_t end = boundary.size();
      const bool close = line.substr(end, 2) == "--";
      if (close) end += 2;
      // RFC 2046 §5.1.1: transport-padding = *LWSP-char
      while (end < line.size() && (IsBlank(line[end]) || line[end] == '\r')) ++end;
      if (end < line.size() && line[end] != '\n') continue;
      found->frame = i;
      found->close = close;
      found->next_line = std::min(at + 2 + end + 1, raw_.size());
      return true;
    }
    return false;
  }

  // NextDelimiter looks for the next delimiter from `*at` on and does what it says; `*at` is then
  // where the body of the new part, or the epilogue, begins. False at the end of the message.
  bool NextDelimiter(size_t* at) {
    Delimiter found;
    size_t line = pending_delimiter_ ? *at : FindDashLine(raw_, *at, firsts_);
    pending_delimiter_ = false;
    while (line < raw_.size() && !MatchDelimiter(line, &found))
      line = FindDashLine(raw_, line + 2, firsts_);
    if (line >= raw_.size()) return false;
    const uint32_t multipart = frames_[found.frame].part;
    for (size_t i = frames_.size() - 1; i > found.frame; --i) {
      Note(Defect::kMissingCloseDelimiter, frames_[i].part, line);
    }
    CloseDownTo(multipart, EndBefore(line));
    frames_.resize(found.close ? found.frame : found.frame + 1);
    MarkFirsts();
    *at = found.next_line;
    if (found.close) {
      // What follows is the epilogue, which is for nobody (RFC 2046 §5.1.1), until an outer
      // delimiter.
      return true;
    }
    if (view_.parts_.size() >= options_.max_parts) {
      ReopenLast(multipart);
      Stop(Defect::kPartLimit, line);
      return false;
    }
    *at = Descend(OpenPart(multipart, found.next_line));
    return true;
  }

  // EndBefore is the end of what stands before a delimiter line: the line end in front of it
  // belongs to the delimiter.
  size_t EndBefore(size_t line) const {
    if (line > 0 && raw_[line - 1] == '\n') --line;
    if (line > 0 && raw_[line - 1] == '\r') --line;
    return line;
  }

  // CloseDownTo ends the current part and those above it up to `stop`, which becomes the current
  // one.
  void CloseDownTo(uint32_t stop, size_t end) {
    while (current_ != stop && current_ != kNoPart) {
      Part& p = part(current_);
      // The empty line that ends the header may be the line end before the delimiter: the body is
      // empty then, and the parts above end where it does.
      p.end_offset = end = std::max(end, p.body_offset);
      // A multipart that no part came of is a leaf.
      if (p.kind == PartKind::kMultipart && p.first_child == kNoPart) {
        p.kind = PartKind::kLeaf;
        Note(Defect::kMultipartNoParts, current_, p.body_offset);
      }
      if (stop == kNoPart && p.kind == PartKind::kMultipart && !stopped_) {
        const bool open = std::any_of(frames_.begin(), frames_.end(),
                                      [&](const Frame& f) { return f.part == current_; });
        if (open) Note(Defect::kMissingCloseDelimiter, current_, end);
      }
      current_ = p.parent;
    }
  }

  // ReopenLast gives the rest of the message to the last part of `multipart` and to what is last in
  // it: no more may be made.
  void ReopenLast(uint32_t multipart) {
    uint32_t index = multipart;
    while (part(index).first_child != kNoPart) index = last_child_[part(index).depth];
    current_ = index;
  }

  // ReadHeader reads the fields of part `index` and what they say of its body. A delimiter line of
  // an outer multipart ends it.
  void ReadHeader(uint32_t index) {
    size_t at = part(index).header_offset;
    const size_t begin = at;
    part_has_body_ = true;
    bool over_limit = false;
    bool first = true;
    while (true) {
      if (at >= raw_.size()) {
        part_has_body_ = false;
        FinishHeader(index, at, at);
        break;
      }
      // The empty line ends the header.
      if (raw_[at] == '\n' || (raw_[at] == '\r' && at + 1 < raw_.size() && raw_[at + 1] == '\n')) {
        if (index == 0 && at == begin) NoteLeadingLine(at);
        FinishHeader(index, at, at + (raw_[at] == '\n' ? 1 : 2));
        break;
      }
      Delimiter delimiter;
      if (raw_[at] == '-' && !frames_.empty() && raw_.substr(at, 2) == "--" &&
          MatchDelimiter(at, &delimiter)) {
        if (at != begin) Note(Defect::kMissingHeaderEnd, index, at);
        part_has_body_ = false;
        pending_delimiter_ = true;
        FinishHeader(index, at, at);
        break;
      }
      const size_t next = ReadField(index, at, first, over_limit);
      if (next == at) {
        // Not a field: the body begins here, as Postfix and Python read it too.
        Note(Defect::kMissingHeaderEnd, index, at);
        FinishHeader(index, at, at);
        break;
      }
      first = false;
      at = next;
      if (!over_limit && at - begin > options_.max_header_bytes) {
        over_limit = true;
        Stop(Defect::kHeaderSizeLimit, at);
      }
      if (!over_limit && view_.headers_.size() >= options_.max_headers) {
        over_limit = true;
        Stop(Defect::kHeaderCountLimit, at);
      }
    }
    ReadMimeFields(index);
  }

  // NoteLeadingLine notes when a field stands behind the empty lines that the message begins with:
  // RFC 5322 §2.1 ends the header there, and somebody meant it otherwise.
  void NoteLeadingLine(size_t at) {
    size_t name = raw_.find_first_not_of("\r\n", at);
    if (name == std::string_view::npos) return;
    const size_t begin = name;
    while (name < raw_.size() && name - begin < 100 && IsNameOctet(raw_[name])) ++name;
    if (name > begin && name < raw_.size() && raw_[name] == ':')
      Note(Defect::kLeadingEmptyLine, 0, at);
  }

  void FinishHeader(uint32_t index, size_t header_end, size_t body) {
    Part& p = part(index);
    p.header_end_offset = header_end;
    p.body_offset = body;
    p.header_count = static_cast<uint32_t>(view_.headers_.size()) - p.first_header;
  }

  // ReadField reads the field at `at` with its continuation lines and returns where the next line
  // begins; `at` itself when no field stands there. Past a limit it is not listed.
  size_t ReadField(uint32_t index, size_t at, bool first, bool over_limit) {
    const char* const base = raw_.data();
    const char* const end = base + raw_.size();
    const char* const line = base + at;
    const char* p = line;
    while (p < end && IsNameOctet(*p)) ++p;
    const char* name_end = p;
    // RFC 5322 §4.5: obsolete syntax has blanks before the colon.
    while (p < end && IsBlank(*p)) ++p;
    bool is_field = p < end && *p == ':';
    const bool mbox = first && index == 0 && !(is_field && name_end - line <= 5) &&
                      (raw_.substr(at, 5) == "From " || raw_.substr(at, 6) == ">From ");
    if (!is_field && !mbox) return at;
    const char* value = is_field ? p + 1 : line;
    if (mbox) {
      Note(Defect::kMboxFromLine, index, at);
      name_end = line;
      value = line;
      is_field = false;
    } else if (name_end == line) {
      Note(Defect::kMalformedHeaderLine, index, at);
    }
    const char* next = value;
    while (true) {
      const auto* lf =
          static_cast<const char*>(std::memchr(next, '\n', static_cast<size_t>(end - next)));
      if (lf == nullptr) {
        next = end;
        break;
      }
      next = lf + 1;
      // Folding: a line that begins with a blank goes on (RFC 5322 §2.2.3), but never behind an
      // mbox line.
      if (!is_field || next >= end || !IsBlank(*next)) break;
    }
    if (!over_limit) {
      const char* value_end = next;
      uint8_t line_end = 0;
      if (value_end > value && value_end[-1] == '\n') {
        --value_end;
        line_end = 1;
        if (value_end > value && value_end[-1] == '\r') {
          --value_end;
          line_end = 2;
        }
      }
      Header header;
      header.name = std::string_view(line, static_cast<size_t>(name_end - line));
      header.value = std::string_view(value, static_cast<size_t>(value_end - value));
      header.field = FieldOf(header.name);
      header.line_end_bytes = line_end;
      ExamineField(index, at, header);
      view_.headers_.push_back(header);
    }
    return static_cast<size_t>(next - base);
  }

  // ExamineField notes octets that should not be in a header.
  void ExamineField(uint32_t index, size_t at, const Header& header) {
    const std::string_view octets = header.raw();
    // One pass that most fields leave without a finding: 8-bit octets set `high`, NUL and bare CR
    // are looked for by memchr.
    unsigned char high = 0;
    for (const char c : octets)
      high = static_cast<unsigned char>(high | static_cast<unsigned char>(c));
    if (high >= 0x80 && !mail::IsValidUtf8(octets)) Note(Defect::kInvalidUtf8InHeader, index, at);
    if (std::memchr(octets.data(), '\0', octets.size()) != nullptr)
      Note(Defect::kNulInHeader, index, at);
    for (size_t cr = octets.find('\r'); cr != std::string_view::npos;
         cr = octets.find('\r', cr + 1)) {
      if (cr + 1 < octets.size() && octets[cr + 1] == '\n') continue;
      Note(Defect::kBareCrInHeader, index, at + cr);
      break;
    }
  }

  // ReadMimeFields takes type and encoding out of the fields just read.
  void ReadMimeFields(uint32_t index) {
    Part& p = part(index);
    bool have_encoding = false;
    for (const Header& header : view_.headers(p)) {
      if (header.field == Field::kContentType && !p.type_given) {
        std::string_view type, subtype, rest;
        if (ScanMediaType(header.value, &type, &subtype, &rest) && !subtype.empty()) {
          p.type = type;
          p.subtype = subtype;
          p.type_given = true;
        } else {
          p.type = "text";
          p.subtype = "plain";
          Note(Defect::kBadContentType, index,
               static_cast<size_t>(header.name.data() - raw_.data()));
        }
      } else if (header.field == Field::kContentTransferEncoding && !have_encoding) {
        have_encoding = true;
        ReadEncoding(index, header);
      }
    }
  }

  void ReadEncoding(uint32_t index, const Header& header) {
    Part& p = part(index);
    // RFC 822 §3.4.3: comments may stand before the word too.
    std::string_view value = Trim(header.value.substr(SkipCfws(header.value, 0)));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    value = value.substr(0, value.find_first_of(" \t\r\n;("));
    if (EqualsIgnoreCase(value, "base64")) {
      p.encoding = TransferEncoding::kBase64;
    } else if (EqualsIgnoreCase(value, "quoted-printable")) {
      p.encoding = TransferEncoding::kQuotedPrintable;
    } else if (!EqualsIgnoreCase(value, "7bit") && !EqualsIgnoreCase(value, "8bit") &&
               !EqualsIgnoreCase(value, "binary") && !value.empty()) {
      Note(Defect::kUnknownEncoding, index, static_cast<size_t>(header.name.data() - raw_.data()));
    }
  }

  const std::string_view raw_;
  const ParseOptions& options_;
  MessageView& view_;
  uint32_t current_ = kNoPart;        // the innermost open part
  std::vector<Frame> frames_;         // open multiparts, outermost first
  std::vector<uint32_t> last_child_;  // by depth of the parent
  // Boundaries that had to be unescaped live here; a deque does not move them.
  std::deque<std::string> boundaries_;
  OctetSet firsts_{};          // what open boundaries begin with
  bool part_has_body_ = true;  // the header just read ended with an empty line or at a body
  // the header just read ended at a delimiter line, not yet acted on
  bool pending_delimiter_ = false;
  bool stopped_ = false;  // a limit was reached: the rest belongs to the current part
};

MessageView ParseMessage(std::string_view raw, const ParseOptions& options) {
  MessageView view;
  Parser(raw, options, &view).Run();
  return view;
}

MessageView ParseHeader(std::string_view raw, const ParseOptions& options) {
  MessageView view;
  Parser(raw, options, &view).RunHeaderOnly();
  return view;
}

}  // namespace postern::message
