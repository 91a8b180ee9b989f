// The inside of ParseMessage, shared by the files that implement it and by nobody else:
//   parser.cc         the tree: parts, multiparts, delimiters, limits
//   parser_header.cc  the header of a part, and what it says of the body
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "lib/core/message/parser.h"
#include "lib/core/message/scan.h"

namespace postern::message {

inline bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// Parser holds what is open while the message is walked once from front to back.
class Parser {
 public:
  Parser(std::string_view raw, const ParseOptions& options, MessageView* view)
      : raw_(raw), options_(options), view_(*view) {
    view_.raw_ = raw;
    view_.parts_.reserve(8);
    view_.headers_.reserve(32);
  }

  void Run();

  void RunHeaderOnly();

 private:
  // Frame is a multipart whose delimiters are looked for.
  struct Frame {
    uint32_t part;
    std::string_view boundary;
  };
  // Delimiter is one delimiter line that was recognised.
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

  // --- parser.cc
  // OpenPart makes a part below `parent` whose header begins at `at`, reads its header and makes it
  // the current one. It returns where its body begins.
  size_t OpenPart(uint32_t parent, size_t at);

  // The last child of an open part is kept by its depth: one part of each depth is open at a time.
  size_t parent_slot(uint32_t parent);

  // Descend decides what the current part is and, while it is a message, goes into it. It returns
  // where to look for delimiters.
  size_t Descend(size_t at);

  bool AtDepthLimit(uint32_t index);

  // MakeRoom tells whether one more part may be made; when not, the current part takes the rest of
  // the message.
  bool MakeRoom(size_t at);

  void Stop(Defect defect, size_t at);

  void OpenMultipart(uint32_t index);

  // FindBoundary gives the value of the boundary parameter. It is a view into the message where it
  // can be; one with escapes or folding, or in the pieces of RFC 2231, is kept in boundaries_.
  std::string_view FindBoundary(std::string_view parameters);

  // MarkFirsts notes how the open boundaries begin, so that most lines that begin with "--" are
  // passed over at once.
  void MarkFirsts();

  // MatchDelimiter tells whether the line at `at`, which begins with "--", is a delimiter of an
  // open multipart, the innermost one first (RFC 2046 §5.1.2: the delimiter of an outer one ends
  // the inner ones). What does not begin with a boundary is not read to its end.
  bool MatchDelimiter(size_t at, Delimiter* found) const;

  // NextDelimiter looks for the next delimiter from `*at` on and does what it says; `*at` is then
  // where the body of the new part, or the epilogue, begins. False at the end of the message.
  bool NextDelimiter(size_t* at);

  // EndBefore is the end of what stands before a delimiter line: the line end in front of it
  // belongs to the delimiter.
  size_t EndBefore(size_t line) const;

  // CloseDownTo ends the current part and those above it up to `stop`, which becomes the current
  // one.
  void CloseDownTo(uint32_t stop, size_t end);

  // ReopenLast gives the rest of the message to the last part of `multipart` and to what is last in
  // it: no more may be made.
  void ReopenLast(uint32_t multipart);

  // --- parser_header.cc
  // ReadHeader reads the fields of part `index` and what they say of its body. A delimiter line of
  // an outer multipart ends it.
  void ReadHeader(uint32_t index);

  // NoteLeadingLine notes when a field stands behind the empty lines that the message begins with:
  // RFC 5322 §2.1 ends the header there, and somebody meant it otherwise.
  void NoteLeadingLine(size_t at);

  void FinishHeader(uint32_t index, size_t header_end, size_t body);

  // ReadField reads the field at `at` with its continuation lines and returns where the next line
  // begins; `at` itself when no field stands there. Past a limit it is not listed.
  size_t ReadField(uint32_t index, size_t at, bool first, bool over_limit);

  // ExamineField notes octets that should not be in a header.
  void ExamineField(uint32_t index, size_t at, const Header& header);

  // ReadMimeFields takes type and encoding out of the fields just read.
  void ReadMimeFields(uint32_t index);

  void ReadEncoding(uint32_t index, const Header& header);

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

}  // namespace postern::message
