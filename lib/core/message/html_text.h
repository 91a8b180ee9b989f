// HTML to text, for search and preview.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "lib/core/message/parser.h"

namespace postern::message {

// HtmlOptions bound one conversion.
struct HtmlOptions {
  // What is past it is not read. The largest letters that programs send have a tenth of it.
  size_t max_input_bytes = 4 << 20;
  // What the parser may allocate. HTML can be written so that its tree is far larger than itself,
  // or deeper than any page; then the tags are taken out without regard to what they mean.
  size_t max_tree_bytes = 32 << 20;
  // How many elements and texts the tree may have. The parser's work for one tag grows with the
  // elements that are open, so this bounds the time too, to some tenths of a second.
  size_t max_nodes = 15'000;
  size_t max_output_bytes = 1 << 20;
};

// HtmlToText gives the text that a reader of `html` (UTF-8) would see, without scripts, styles and
// head: blocks on lines of their own, cells of a table divided by a tab, white space as HTML joins
// it, images by their alternative text. Lines end in LF. The parser is Gumbo, by the rules of
// HTML5. The result is UTF-8 when `html` is.
std::string HtmlToText(std::string_view html, const HtmlOptions& options = {});

// PreviewText is the beginning of what the message says, on one line, for a list of messages: of
// the first text part that is no attachment, plain before HTML, at most `max_bytes` octets of
// UTF-8. Quoted lines ("> ") are left out when there is other text.
std::string PreviewText(const MessageView& message, size_t max_bytes = 256);

}  // namespace postern::message
