// Any octets as HTML: the text is UTF-8, keeps its bound, and comes in the room
// that was given, with a tree and without one.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/mail/utf8.h"
#include "lib/core/message/html_text.h"
#include "lib/core/message/parser.h"

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace postern::message;
  const std::string_view html(reinterpret_cast<const char*>(data), size);
  HtmlOptions small_tree;
  small_tree.max_nodes = size % 17;
  HtmlOptions small_output;
  small_output.max_output_bytes = size % 31;
  for (const HtmlOptions& options : {HtmlOptions{}, small_tree, small_output}) {
    const std::string text = HtmlToText(html, options);
    Require(text.size() <= options.max_output_bytes);
    Require(postern::mail::IsValidUtf8(text));
    Require(text.empty() || text.front() != '\n');
  }
  const std::string preview = PreviewText(ParseMessage(html), 40);
  Require(preview.size() <= 40 && preview.find('\n') == std::string::npos);
  return 0;
}
