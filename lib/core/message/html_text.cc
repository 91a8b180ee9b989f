#include "lib/core/message/html_text.h"

#include <algorithm>
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <gumbo.h>
#include <memory>
#include <vector>

#include "lib/core/base/strings.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/content_type.h"
#include "lib/core/message/text.h"

namespace postern::message {
namespace {

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'; }

// Arena is the memory of one tree. It is given back as a whole: Gumbo's own way to free a tree
// recurses as deep as the tree is. When it is used up, Gumbo, which does not expect that, is left
// by longjmp; only C functions without anything to clean up lie between.
class Arena {
 public:
  explicit Arena(const HtmlOptions& options)
      : bytes_left_(options.max_tree_bytes), nodes_left_(options.max_nodes) {}

  std::jmp_buf& out_of_room() { return out_of_room_; }

  static void* Allocate(void* arena, size_t size) {
    return static_cast<Arena*>(arena)->Allocate(size);
  }
  static void Free(void*, void*) {}

 private:
  void* Allocate(size_t size) {
    // Nodes are told by their size: they are the only blocks of it that are many.
    if (size == sizeof(GumboNode)) {
      if (nodes_left_ == 0) std::longjmp(out_of_room_, 1);
      --nodes_left_;
    }
    size = (size + 15) / 16 * 16;
    if (size > bytes_left_) std::longjmp(out_of_room_, 1);
    bytes_left_ -= size;
    if (size > room_) {
      const size_t block = std::max<size_t>(size, 64 * 1024);
      blocks_.emplace_back(new char[block]);
      next_ = blocks_.back().get();
      room_ = block;
    }
    void* const at = next_;
    next_ += size;
    room_ -= size;
    return at;
  }

  std::jmp_buf out_of_room_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t room_ = 0;
  size_t bytes_left_;
  size_t nodes_left_;
};

// Parse gives the tree, which lives in `arena`, or null when there was no room for it.
const GumboOutput* Parse(Arena& arena, std::string_view html) {
  GumboOptions options = kGumboDefaultOptions;
  options.allocator = Arena::Allocate;
  options.deallocator = Arena::Free;
  options.userdata = &arena;
  options.max_errors = 0;
  if (setjmp(arena.out_of_room()) != 0) return nullptr;
  return gumbo_parse_with_options(&options, html.data(), html.size());
}

// Writer joins text as HTML does: white space is one blank, and none at the edges of a line.
class Writer {
 public:
  explicit Writer(size_t max_bytes) : max_bytes_(max_bytes) {}

  bool full() const { return out_.size() >= max_bytes_; }
  void Text(std::string_view text, bool preformatted) {
    for (const char c : text) {
      // Never inside a character: Take cuts at the bound.
      const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
      if (full() && !continues) return;
      if (preformatted && c == '\n') {
        Line();
      } else if (!preformatted && IsSpace(c)) {
        blank_ = true;
      } else if (c != '\r') {
        Flush();
        out_.push_back(c);
      }
    }
  }
  void Blank() { blank_ = true; }
  // Line ends the line if there is something on it; Empty makes an empty line between blocks.
  void Line() {
    blank_ = tab_ = false;
    if (!out_.empty()) lines_ = std::max(lines_, 1);
  }
  void Empty() {
    Line();
    if (!out_.empty()) lines_ = 2;
  }
  void Tab() { tab_ = true; }
  std::string Take() {
    // Gumbo makes octets that are no character of a reference like "&#x110000fff;".
    if (!mail::IsValidUtf8(out_)) out_ = mail::ScrubUtf8(out_);
    return std::string(mail::TruncateUtf8(out_, max_bytes_));
  }

 private:
  void Flush() {
    if (lines_ > 0) {
      out_.append(static_cast<size_t>(lines_), '\n');
    } else if (!out_.empty() && (tab_ || blank_)) {
      out_.push_back(tab_ ? '\t' : ' ');
    }
    lines_ = 0;
    blank_ = tab_ = false;
  }

  std::string out_;
  size_t max_bytes_;
  bool blank_ = false;
  bool tab_ = false;
  int lines_ = 0;
};

enum class Shape { kInline, kBlock, kParagraph, kCell, kHidden };

Shape ShapeOf(GumboTag tag) {
  switch (tag) {
    case GUMBO_TAG_HEAD:
    case GUMBO_TAG_SCRIPT:
    case GUMBO_TAG_STYLE:
    case GUMBO_TAG_TEMPLATE:
    case GUMBO_TAG_NOSCRIPT:
    case GUMBO_TAG_OBJECT:
    case GUMBO_TAG_IFRAME: return Shape::kHidden;
    case GUMBO_TAG_TD:
    case GUMBO_TAG_TH: return Shape::kCell;
    case GUMBO_TAG_P:
    case GUMBO_TAG_H1:
    case GUMBO_TAG_H2:
    case GUMBO_TAG_H3:
    case GUMBO_TAG_H4:
    case GUMBO_TAG_H5:
    case GUMBO_TAG_H6:
    case GUMBO_TAG_BLOCKQUOTE:
    case GUMBO_TAG_PRE:
    case GUMBO_TAG_UL:
    case GUMBO_TAG_OL:
    case GUMBO_TAG_DL: return Shape::kParagraph;
    case GUMBO_TAG_ADDRESS:
    case GUMBO_TAG_ARTICLE:
    case GUMBO_TAG_ASIDE:
    case GUMBO_TAG_CENTER:
    case GUMBO_TAG_DD:
    case GUMBO_TAG_DIV:
    case GUMBO_TAG_DT:
    case GUMBO_TAG_FIELDSET:
    case GUMBO_TAG_FIGCAPTION:
    case GUMBO_TAG_FIGURE:
    case GUMBO_TAG_FOOTER:
    case GUMBO_TAG_FORM:
    case GUMBO_TAG_HEADER:
    case GUMBO_TAG_HR:
    case GUMBO_TAG_LI:
    case GUMBO_TAG_MAIN:
    case GUMBO_TAG_NAV:
    case GUMBO_TAG_OPTION:
    case GUMBO_TAG_SECTION:
    case GUMBO_TAG_TABLE:
    case GUMBO_TAG_CAPTION:
    case GUMBO_TAG_BR:
    case GUMBO_TAG_TR: return Shape::kBlock;
    default: return Shape::kInline;
  }
}

void Edge(Shape shape, bool opens, Writer& writer) {
  switch (shape) {
    case Shape::kBlock: writer.Line(); break;
    case Shape::kParagraph: writer.Empty(); break;
    case Shape::kCell:
      if (!opens) writer.Tab();
      break;
    case Shape::kInline:
    case Shape::kHidden: break;
  }
}

// Walk writes the text below `root`; its own stack stands for recursion.
void Walk(const GumboNode* root, Writer& writer) {
  struct Open {
    const GumboNode* node;
    const GumboVector* children;
    unsigned next;
    bool preformatted;
  };
  std::vector<Open> open;
  const auto enter = [&](const GumboNode* node, bool preformatted) {
    switch (node->type) {
      case GUMBO_NODE_TEXT:
      case GUMBO_NODE_CDATA: writer.Text(node->v.text.text, preformatted); return;
      case GUMBO_NODE_WHITESPACE: writer.Text(node->v.text.text, preformatted); return;
      case GUMBO_NODE_DOCUMENT:
        open.push_back({node, &node->v.document.children, 0, preformatted});
        return;
      case GUMBO_NODE_ELEMENT: {
        const GumboElement& element = node->v.element;
        const Shape shape = ShapeOf(element.tag);
        if (shape == Shape::kHidden) return;
        if (element.tag == GUMBO_TAG_IMG) {
          const GumboAttribute* alt = gumbo_get_attribute(&element.attributes, "alt");
          if (alt != nullptr) {
            writer.Blank();
            writer.Text(alt->value, false);
            writer.Blank();
          }
          return;
        }
        Edge(shape, true, writer);
        open.push_back({node, &element.children, 0, preformatted || element.tag == GUMBO_TAG_PRE});
        return;
      }
      default: return;  // comments
    }
  };
  enter(root, false);
  while (!open.empty() && !writer.full()) {
    Open& top = open.back();
    if (top.next < top.children->length) {
      const auto* child = static_cast<const GumboNode*>(top.children->data[top.next++]);
      enter(child, top.preformatted);
      continue;
    }
    if (top.node->type == GUMBO_NODE_ELEMENT) Edge(ShapeOf(top.node->v.element.tag), false, writer);
    open.pop_back();
  }
}

// StripTags is what is left when there is no tree: what stands between "<" and ">" goes, and what
// stands inside scripts and styles.
void StripTags(std::string_view html, Writer& writer) {
  while (!html.empty() && !writer.full()) {
    const size_t less = html.find('<');
    writer.Text(html.substr(0, less), false);
    if (less == std::string_view::npos) return;
    html.remove_prefix(less);
    writer.Blank();
    std::string_view end = ">";
    if (StartsWithIgnoreCase(html, "<script")) end = "</script";
    if (StartsWithIgnoreCase(html, "<style")) end = "</style";
    if (html.substr(0, 4) == "<!--") end = "-->";
    size_t to = 1;
    while (to < html.size() && !StartsWithIgnoreCase(html.substr(to), end)) ++to;
    html.remove_prefix(std::min(html.size(), to + end.size()));
    if (end.size() > 4) html.remove_prefix(std::min(html.size(), html.find('>') + 1));
  }
}

bool IsAttachment(const MessageView& message, const Part& part) {
  const Header* field = message.Find(part, Field::kContentDisposition);
  return field != nullptr && ParseContentDisposition(field->value).kind == "attachment";
}

// OneLine joins the lines of `text` with blanks, up to `max_bytes`; `skip_quotes` leaves quoted
// ones out.
std::string OneLine(std::string_view text, size_t max_bytes, bool skip_quotes) {
  std::string out;
  while (!text.empty() && out.size() < max_bytes) {
    const size_t lf = text.find('\n');
    std::string_view line = text.substr(0, lf);
    text.remove_prefix(lf == std::string_view::npos ? text.size() : lf + 1);
    if (skip_quotes && !line.empty() && line.front() == '>') continue;
    for (const char c : line.substr(0, max_bytes * 4)) {
      const bool blank = IsSpace(c) || (IsAscii(c) && !IsAsciiPrintable(c));
      if (!blank) {
        out.push_back(c);
      } else if (!out.empty() && out.back() != ' ') {
        out.push_back(' ');
      }
    }
    if (!out.empty() && out.back() != ' ') out.push_back(' ');
  }
  return std::string(Trim(mail::TruncateUtf8(out, max_bytes)));
}

}  // namespace

std::string HtmlToText(std::string_view html, const HtmlOptions& options) {
  html = mail::TruncateUtf8(html, options.max_input_bytes);
  Writer writer(options.max_output_bytes);
  Arena arena(options);
  const GumboOutput* const tree = Parse(arena, html);
  if (tree != nullptr) {
    Walk(tree->document, writer);
  } else {
    StripTags(html, writer);
  }
  return writer.Take();
}

std::string PreviewText(const MessageView& message, size_t max_bytes) {
  // The first text that says something: of alternatives the plainest stands first (RFC 2046
  // §5.1.4).
  for (const Part& part : message.parts()) {
    if (part.kind != PartKind::kLeaf || !part.Is("text", "") || IsAttachment(message, part))
      continue;
    // A beginning is wanted: so much of the body is read for it.
    constexpr size_t kPreviewBodyBytes = 1 << 20;
    std::string text = DecodeBodyText(message, part, kPreviewBodyBytes);
    if (part.Is("text", "html")) {
      HtmlOptions options;
      options.max_output_bytes = std::max<size_t>(max_bytes * 4, 4096);
      text = HtmlToText(text, options);
    }
    std::string line = OneLine(text, max_bytes, true);
    if (line.empty()) line = OneLine(text, max_bytes, false);
    if (!line.empty()) return line;
  }
  return "";
}

}  // namespace postern::message
