#include "lib/core/message/encoded_message.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "lib/core/message/text.h"

namespace postern::message {

// EncodedOpener makes one view of a message and of what was found in its encoded messages.
class EncodedOpener {
 public:
  EncodedOpener(size_t max_defects, const EncodedLimits& limits)
      : max_defects_(max_defects), decoded_left_(limits.max_decoded_bytes) {}

  // Open opens those of `view` that are not below one opened before; at most `levels` deep.
  void Open(MessageView* view, const ParseOptions& options, size_t levels) {
    if (levels == 0) return;
    std::vector<Inside> found;
    size_t parts = view->parts_.size();
    size_t headers = view->headers_.size();
    for (size_t i = 0; i < view->parts_.size(); ++i) {
      const Part& part = view->parts_[i];
      if (!IsEncodedMessage(part) || part.depth >= options.max_depth) continue;
      if (part.end_offset - part.body_offset > decoded_left_) continue;  // it shrinks
      if (parts >= options.max_parts || headers >= options.max_headers) break;
      Inside inside;
      inside.part = static_cast<uint32_t>(i);
      auto octets = std::make_shared<std::string>();
      inside.correct = DecodeBody(*view, part, *octets);
      if (octets->empty()) continue;
      decoded_left_ -= std::min(decoded_left_, octets->size());
      inside.octets = std::move(octets);
      ParseOptions bounds = options;
      bounds.max_depth = options.max_depth - part.depth - 1;
      bounds.max_parts = options.max_parts - parts;
      bounds.max_headers = options.max_headers - headers;
      inside.view = ParseMessage(*inside.octets, bounds);
      Open(&inside.view, bounds, levels - 1);
      parts += inside.view.parts_.size();
      headers += inside.view.headers_.size();
      found.push_back(std::move(inside));
    }
    if (!found.empty()) Join(view, found);
  }

 private:
  struct Inside {
    uint32_t part = 0;  // in which it stands
    bool correct = true;
    std::shared_ptr<const std::string> octets;
    MessageView view;
  };

  static bool IsEncodedMessage(const Part& part) {
    return part.kind == PartKind::kLeaf && !part.opaque &&
           part.encoding != TransferEncoding::kIdentity &&
           (part.Is("message", "rfc822") || part.Is("message", "global"));
  }

  void Note(MessageView* view, Defect defect, uint32_t part, size_t offset) const {
    if (view->defects_.size() < max_defects_) view->defects_.push_back({defect, part, offset});
  }

  // Join makes new lists, depth first as before: a part moves on by the parts put in before it.
  void Join(MessageView* view, const std::vector<Inside>& found) const {
    std::vector<uint32_t> moved(view->parts_.size());
    uint32_t shift = 0;
    for (size_t i = 0, next = 0; i < moved.size(); ++i) {
      moved[i] = static_cast<uint32_t>(i) + shift;
      if (next < found.size() && found[next].part == i)
        shift += static_cast<uint32_t>(found[next++].view.parts_.size());
    }
    const auto place = [&moved](uint32_t index) {
      return index == kNoPart ? kNoPart : moved[index];
    };
    std::vector<Part> parts;
    std::vector<Header> headers;
    const auto add = [&](const MessageView& from, Part part) {
      const auto fields = from.headers(part);
      part.first_header = static_cast<uint32_t>(headers.size());
      headers.insert(headers.end(), fields.begin(), fields.end());
      parts.push_back(part);
    };
    for (DefectAt& defect : view->defects_) defect.part = place(defect.part);
    size_t next = 0;
    for (size_t i = 0; i < view->parts_.size(); ++i) {
      Part part = view->parts_[i];
      part.parent = place(part.parent);
      part.first_child = place(part.first_child);
      part.next_sibling = place(part.next_sibling);
      const bool opened = next < found.size() && found[next].part == i;
      const uint32_t here = moved[i];
      if (opened) {
        part.kind = PartKind::kMessage;
        part.first_child = here + 1;
        part.child_count = 1;
      }
      add(*view, part);
      if (!opened) continue;
      const Inside& inside = found[next++];
      if (!inside.correct) Note(view, Defect::kBadEncodedBody, here, part.body_offset);
      view->decoded_.push_back(inside.octets);
      const auto source = static_cast<uint32_t>(view->decoded_.size());
      view->decoded_.insert(view->decoded_.end(), inside.view.decoded_.begin(),
                            inside.view.decoded_.end());
      const auto below = [here](uint32_t index) {
        return index == kNoPart ? kNoPart : index + here + 1;
      };
      for (Part inner : inside.view.parts_) {
        inner.parent = inner.parent == kNoPart ? here : below(inner.parent);
        inner.first_child = below(inner.first_child);
        inner.next_sibling = below(inner.next_sibling);
        inner.depth = static_cast<uint16_t>(inner.depth + part.depth + 1);
        inner.source += source;
        add(inside.view, inner);
      }
      for (const DefectAt& defect : inside.view.defects_)
        Note(view, defect.defect, below(defect.part), part.header_offset);
    }
    view->parts_ = std::move(parts);
    view->headers_ = std::move(headers);
  }

  size_t max_defects_;
  size_t decoded_left_;
};

void OpenEncodedMessages(MessageView* message, const ParseOptions& options,
                         const EncodedLimits& limits) {
  EncodedOpener(options.max_defects, limits).Open(message, options, limits.max_levels);
}

}  // namespace postern::message
