// Messages in C++: taking one apart, making one. Header-only over postern/message.h; C++17; no
// exceptions of its own.
#ifndef POSTERN_MESSAGE_HPP
#define POSTERN_MESSAGE_HPP

#include "address.hpp"
#include "message.h"
#include "result.hpp"
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace postern {

// HeaderField is one field; the views live as long as the message.
struct HeaderField {
  std::string_view name;   // as written
  std::string_view value;  // as written
  std::string_view text;   // decoded, UTF-8
};

struct MessageDefect {
  std::string_view name;  // "missing_close_delimiter"
  std::size_t part = 0;
  std::size_t offset = 0;
};

struct MessageDate {
  std::int64_t unix_s = 0;
  std::int32_t offset_minutes = 0;
};

// BodyReader reads a decoded body piece by piece.
class BodyReader {
 public:
  explicit BodyReader(postern_body_reader* reader) : reader_(reader) {}
  // Next lends the next octets until the next call; nothing at the end.
  std::optional<std::string_view> Next() {
    postern_str piece{nullptr, 0};
    if (postern_body_reader_next(reader_.get(), &piece, nullptr) != POSTERN_OK) return std::nullopt;
    return internal::View(piece);
  }

 private:
  struct Free {
    void operator()(postern_body_reader* reader) const { postern_body_reader_free(reader); }
  };
  std::unique_ptr<postern_body_reader, Free> reader_;
};

class ParsedMessage;

// MessagePart is one node of the tree; it and its views live as long as the message.
class MessagePart {
 public:
  MessagePart(const postern_parsed* parsed, std::size_t index) : parsed_(parsed), index_(index) {
    part_.struct_size = sizeof part_;
    if (postern_parsed_part(&part_, parsed, index) != POSTERN_OK) part_ = postern_part{};
  }

  std::size_t index() const { return index_; }
  std::size_t depth() const { return part_.depth; }
  std::optional<std::size_t> parent() const {
    if (part_.parent == POSTERN_NO_PART) return std::nullopt;
    return part_.parent;
  }
  bool is_leaf() const { return part_.kind == POSTERN_PART_LEAF; }
  bool is_multipart() const { return part_.kind == POSTERN_PART_MULTIPART; }
  bool is_message() const { return part_.kind == POSTERN_PART_MESSAGE; }
  std::string_view type() const { return internal::View(part_.type); }
  std::string_view subtype() const { return internal::View(part_.subtype); }
  std::string_view charset() const { return internal::View(part_.charset); }
  std::string_view disposition() const { return internal::View(part_.disposition); }
  std::string_view file_name() const { return internal::View(part_.file_name); }
  std::string_view content_id() const { return internal::View(part_.content_id); }
  std::size_t body_bytes() const { return part_.end_offset - part_.body_offset; }

  std::size_t header_count() const { return postern_parsed_header_count(parsed_, index_); }
  HeaderField header(std::size_t number) const {
    postern_header field{};
    field.struct_size = sizeof field;
    if (postern_parsed_header(&field, parsed_, index_, number) != POSTERN_OK) return {};
    return {internal::View(field.name), internal::View(field.value), internal::View(field.text)};
  }
  // Find gives the decoded text of the first field `name`; empty when there is none.
  std::string_view Find(const char* name) const {
    return internal::View(postern_parsed_find(parsed_, index_, name));
  }
  Result<AddressList> Addresses(const char* name) const {
    postern_address_list* list = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_parsed_addresses(&list, parsed_, index_, name, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return AddressList(list);
  }

  // The body: plain text for people (HTML made plain), decoded octets, text in UTF-8.
  Result<std::string> PlainText() const { return Get(POSTERN_BODY_PLAIN); }
  Result<std::string> Octets() const { return Get(POSTERN_BODY_DECODED); }
  Result<std::string> Text() const { return Get(POSTERN_BODY_UTF8); }
  // Read gives the decoded octets piece by piece.
  Result<BodyReader> Read() const {
    postern_body_reader* reader = nullptr;
    postern_error* error = nullptr;
    const postern_status status = postern_body_reader_new(&reader, parsed_, index_, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return BodyReader(reader);
  }

 private:
  Result<std::string> Get(std::int32_t form) const {
    postern_buf out{nullptr, 0};
    postern_error* error = nullptr;
    const postern_status status = postern_parsed_body(&out, parsed_, index_, form, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&out);
  }

  const postern_parsed* parsed_;
  std::size_t index_;
  postern_part part_{};
};

// ParsedMessage is a message taken apart. It moves; it does not copy. One thread at a time.
class ParsedMessage {
 public:
  // Parse copies `octets`; ParseBorrowed keeps views into them, so they must outlive the result.
  static Result<ParsedMessage> Parse(std::string_view octets) {
    return Make(octets, postern_parsed_new);
  }
  static Result<ParsedMessage> ParseBorrowed(std::string_view octets) {
    return Make(octets, postern_parsed_new_borrow);
  }

  // get lends the handle of the C API.
  const postern_parsed* get() const { return parsed_.get(); }
  std::size_t size() const { return postern_parsed_part_count(parsed_.get()); }
  MessagePart root() const { return part(0); }
  MessagePart part(std::size_t index) const { return MessagePart(parsed_.get(), index); }

  std::optional<MessageDate> date() const {
    MessageDate date;
    if (postern_parsed_date(&date.unix_s, &date.offset_minutes, parsed_.get()) != POSTERN_OK)
      return std::nullopt;
    return date;
  }
  std::size_t defect_count() const { return postern_parsed_defect_count(parsed_.get()); }
  MessageDefect defect(std::size_t index) const {
    postern_defect defect{};
    defect.struct_size = sizeof defect;
    if (postern_parsed_defect(&defect, parsed_.get(), index) != POSTERN_OK) return {};
    return {internal::View(defect.name), defect.part, defect.offset};
  }
  Result<std::string> Preview(std::size_t max_bytes = 256) const {
    postern_buf out{nullptr, 0};
    postern_error* error = nullptr;
    const postern_status status = postern_parsed_preview(&out, parsed_.get(), max_bytes, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&out);
  }
  Result<std::string> Json(bool with_text = false) const {
    postern_buf out{nullptr, 0};
    postern_error* error = nullptr;
    const postern_status status =
        postern_parsed_json(&out, parsed_.get(), with_text ? 1 : 0, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&out);
  }
  // c lends the handle of the C API.
  const postern_parsed* c() const { return parsed_.get(); }

 private:
  explicit ParsedMessage(postern_parsed* parsed) : parsed_(parsed) {}

  template <typename New>
  static Result<ParsedMessage> Make(std::string_view octets, New make) {
    postern_parsed* parsed = nullptr;
    postern_error* error = nullptr;
    const postern_status status = make(&parsed, octets.data(), octets.size(), nullptr, &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return ParsedMessage(parsed);
  }

  struct Free {
    void operator()(postern_parsed* parsed) const { postern_parsed_free(parsed); }
  };
  std::unique_ptr<postern_parsed, Free> parsed_;
};

// Letter makes a message. Calls may be chained; the first thing that was wrong is told by Build.
//
//   auto letter = postern::Letter().From("Ann", "ann@example.org").To("Bob", "bob@example.com")
//                     .Subject("Grüße").Text("See below.\n").Attach("a.pdf", "application/pdf",
//                     pdf);
//   postern::Result<std::string> message = letter.Build();
class Letter {
 public:
  Letter() {
    postern_letter* letter = nullptr;
    postern_error* error = nullptr;
    Note(postern_letter_new(&letter, &error), error);
    letter_.reset(letter);
  }

  Letter& Header(const char* name, const std::string& text) {
    return Call([&](postern_error** e) {
      return postern_letter_header(letter_.get(), name, text.c_str(), e);
    });
  }
  Letter& Subject(const std::string& text) { return Header("Subject", text); }
  Letter& Mailbox(const char* field, const std::string& name, const std::string& address) {
    return Call([&](postern_error** e) {
      return postern_letter_address(letter_.get(), field, name.c_str(), address.c_str(), e);
    });
  }
  Letter& From(const std::string& name, const std::string& address) {
    return Mailbox("From", name, address);
  }
  Letter& To(const std::string& name, const std::string& address) {
    return Mailbox("To", name, address);
  }
  Letter& Cc(const std::string& name, const std::string& address) {
    return Mailbox("Cc", name, address);
  }
  Letter& Text(std::string_view text) {
    return Call([&](postern_error** e) {
      return postern_letter_text(letter_.get(), text.data(), text.size(), e);
    });
  }
  Letter& Html(std::string_view html) {
    return Call([&](postern_error** e) {
      return postern_letter_html(letter_.get(), html.data(), html.size(), e);
    });
  }
  Letter& Attach(const std::string& file_name, const std::string& content_type,
                 std::string_view data) {
    postern_attachment attachment = POSTERN_ATTACHMENT_INIT;
    attachment.file_name = file_name.c_str();
    attachment.content_type = content_type.c_str();
    attachment.data = data.data();
    attachment.len = data.size();
    return Call(
        [&](postern_error** e) { return postern_letter_attach(letter_.get(), &attachment, e); });
  }
  // Show adds what the HTML names as "cid:<content_id>".
  Letter& Show(const std::string& content_id, const std::string& content_type,
               std::string_view data) {
    postern_attachment attachment = POSTERN_ATTACHMENT_INIT;
    attachment.content_id = content_id.c_str();
    attachment.content_type = content_type.c_str();
    attachment.data = data.data();
    attachment.len = data.size();
    return Call(
        [&](postern_error** e) { return postern_letter_attach(letter_.get(), &attachment, e); });
  }
  // AttachStream takes a function that writes up to `size` octets and tells how many, 0 at the end,
  // or nothing when it cannot go on. It is called while the letter is written.
  using Source = std::function<std::optional<std::size_t>(char* to, std::size_t size)>;
  Letter& AttachStream(const std::string& file_name, const std::string& content_type,
                       Source source) {
    postern_attachment attachment = POSTERN_ATTACHMENT_INIT;
    attachment.file_name = file_name.c_str();
    attachment.content_type = content_type.c_str();
    attachment.user_data = new Source(std::move(source));
    attachment.destroy_user_data = [](void* data) { delete static_cast<Source*>(data); };
    attachment.read = [](char* to, std::size_t size, std::size_t* got,
                         void* data) -> postern_status {
      const std::optional<std::size_t> count = (*static_cast<Source*>(data))(to, size);
      *got = count.value_or(0);
      return count.has_value() ? POSTERN_OK : POSTERN_ERR_IO;
    };
    return Call(
        [&](postern_error** e) { return postern_letter_attach(letter_.get(), &attachment, e); });
  }

  // Build gives the whole message, lines ended by CRLF.
  Result<std::string> Build() {
    if (error_.has_value()) return *error_;
    postern_buf out{nullptr, 0};
    postern_error* error = nullptr;
    const postern_status status = postern_letter_build(&out, letter_.get(), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return internal::TakeBuffer(&out);
  }
  // Write gives it in pieces; `sink` returns whether to go on.
  Result<Done> Write(const std::function<bool(std::string_view octets)>& sink) {
    if (error_.has_value()) return *error_;
    postern_error* error = nullptr;
    const auto write = [](const char* octets, std::size_t len, void* data) -> postern_status {
      const auto& to = *static_cast<const std::function<bool(std::string_view)>*>(data);
      return to(std::string_view(octets, len)) ? POSTERN_OK : POSTERN_ERR_IO;
    };
    const postern_status status = postern_letter_write(
        letter_.get(), write, const_cast<std::function<bool(std::string_view)>*>(&sink), &error);
    if (status != POSTERN_OK) return Error::Take(status, error);
    return Done();
  }

 private:
  template <typename Function>
  Letter& Call(Function function) {
    postern_error* error = nullptr;
    const postern_status status = function(&error);
    Note(status, error);
    return *this;
  }
  void Note(postern_status status, postern_error* error) {
    if (status == POSTERN_OK) return;
    Error taken = Error::Take(status, error);
    if (!error_.has_value()) error_ = std::move(taken);
  }

  struct Free {
    void operator()(postern_letter* letter) const { postern_letter_free(letter); }
  };
  std::unique_ptr<postern_letter, Free> letter_;
  std::optional<Error> error_;
};

}  // namespace postern

#endif  // POSTERN_MESSAGE_HPP
