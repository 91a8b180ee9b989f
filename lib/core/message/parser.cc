#include "lib/core/message/parser.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/core/base/strings.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/parser_impl.h"

namespace postern::message {

void Parser::Run() {
  size_t at = Descend(OpenPart(kNoPart, 0));
  while (!stopped_ && !frames_.empty() && NextDelimiter(&at)) {
  }
  CloseDownTo(kNoPart, raw_.size());
}

void Parser::RunHeaderOnly() {
  OpenPart(kNoPart, 0);
  CloseDownTo(kNoPart, raw_.size());
}

size_t Parser::OpenPart(uint32_t parent, size_t at) {
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

size_t Parser::parent_slot(uint32_t parent) {
  const size_t depth = part(parent).depth;
  if (last_child_.size() <= depth) last_child_.resize(depth + 1, kNoPart);
  return depth;
}

size_t Parser::Descend(size_t at) {
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

bool Parser::AtDepthLimit(uint32_t index) {
  Part& p = part(index);
  if (p.depth < options_.max_depth) return false;
  p.opaque = true;
  Note(Defect::kDepthLimit, index, p.body_offset);
  return true;
}

bool Parser::MakeRoom(size_t at) {
  if (view_.parts_.size() < options_.max_parts) return true;
  Stop(Defect::kPartLimit, at);
  return false;
}

void Parser::Stop(Defect defect, size_t at) {
  part(current_).opaque = true;
  Note(defect, current_, at);
  stopped_ = true;
}

void Parser::OpenMultipart(uint32_t index) {
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

std::string_view Parser::FindBoundary(std::string_view parameters) {
  ParameterScanner scanner(parameters);
  RawParameter parameter;
  bool pieces = false;
  while (scanner.Next(&parameter)) {
    if (EqualsIgnoreCase(parameter.name, "boundary")) {
      if (!parameter.quoted || parameter.value.find_first_of("\\\r\n") == std::string_view::npos) {
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

void Parser::MarkFirsts() {
  firsts_.fill(false);
  for (const Frame& frame : frames_)
    firsts_[static_cast<unsigned char>(frame.boundary.front())] = true;
}

bool Parser::MatchDelimiter(size_t at, Delimiter* found) const {
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

bool Parser::NextDelimiter(size_t* at) {
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

size_t Parser::EndBefore(size_t line) const {
  if (line > 0 && raw_[line - 1] == '\n') --line;
  if (line > 0 && raw_[line - 1] == '\r') --line;
  return line;
}

void Parser::CloseDownTo(uint32_t stop, size_t end) {
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

void Parser::ReopenLast(uint32_t multipart) {
  uint32_t index = multipart;
  while (part(index).first_child != kNoPart) index = last_child_[part(index).depth];
  current_ = index;
}

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
