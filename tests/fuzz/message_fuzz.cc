// Any octets as a message: the tree holds together, every view lies inside the octets, and all that
// is made of it ends.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/core/base/strings.h"
#include "lib/core/message/imap_section.h"
#include "lib/core/message/imap_structure.h"
#include "lib/core/message/parser.h"
#include "lib/core/message/text.h"

namespace {

using namespace postern::message;

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckTree(const MessageView& view, const ParseOptions& options) {
  const size_t size = view.raw().size();
  Require(!view.parts().empty() && view.parts().size() <= options.max_parts);
  Require(view.all_headers().size() <= options.max_headers);
  Require(view.defects().size() <= options.max_defects);
  size_t children = 0;
  for (size_t i = 0; i < view.parts().size(); ++i) {
    const Part& part = view.part(i);
    Require(part.header_offset <= part.header_end_offset &&
            part.header_end_offset <= part.body_offset);
    Require(part.body_offset <= part.end_offset && part.end_offset <= size);
    Require(part.depth <= options.max_depth);
    Require((i == 0) == (part.parent == kNoPart));
    Require(part.parent == kNoPart || part.parent < i);
    if (part.parent != kNoPart) {
      // A part lies inside the body of the one above it.
      const Part& above = view.part(part.parent);
      Require(above.kind != PartKind::kLeaf && part.depth == above.depth + 1);
      Require(above.body_offset <= part.header_offset && part.end_offset <= above.end_offset);
    }
    uint32_t count = 0;
    for (uint32_t child = part.first_child; child != kNoPart;
         child = view.part(child).next_sibling) {
      Require(view.part(child).parent == i);
      ++count;
    }
    Require(count == part.child_count);
    Require(part.kind != PartKind::kMessage || count == 1);
    children += count;
    size_t at = part.header_offset;
    for (const Header& header : view.headers(part)) {
      const std::string_view raw = header.raw();
      Require(raw.data() == view.raw().data() + at);
      at += raw.size();
      Require(at <= part.body_offset);
    }
  }
  Require(children + 1 == view.parts().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  ParseOptions small;
  small.max_depth = 3;
  small.max_parts = 5;
  small.max_headers = 8;
  small.max_header_bytes = 200;
  small.max_defects = 4;
  for (const ParseOptions& options : {ParseOptions{}, small}) {
    const MessageView view = ParseMessage(raw, options);
    CheckTree(view, options);
    for (const bool utf8 : {false, true}) {
      EnvelopeText(view, utf8);
      BodyStructureText(view, true, utf8);
    }
    DecodedText(view);
    for (const std::string_view text : {"", "HEADER", "TEXT", "1", "1.MIME", "2.HEADER", "1.1.TEXT",
                                        "HEADER.FIELDS (FROM)", "HEADER.FIELDS.NOT (FROM)"}) {
      const postern::StatusOr<SectionSpec> spec = ParseSection(text);
      Require(spec.ok() && spec->ToString() == text);
      const postern::StatusOr<SectionRange> range = FindSection(view, *spec);
      if (range.ok()) Require(range->size() <= size && range->ToString().size() == range->size());
    }
  }
  return 0;
}
