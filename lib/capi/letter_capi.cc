// Messages made through the C API.
#include "postern/message.h"
#include <algorithm>
#include <ctime>
#include <memory>
#include <string>
#include <sys/random.h>
#include <utility>
#include <vector>

#include "lib/capi/error_capi.h"
#include "lib/capi/letter_check.h"
#include "lib/capi/struct_capi.h"
#include "lib/core/base/strings.h"
#include "lib/core/mail/address.h"
#include "lib/core/mail/date.h"
#include "lib/core/mail/message_id.h"
#include "lib/core/mail/utf8.h"
#include "lib/core/message/builder.h"

namespace {

using postern::OkStatus;
using postern::Status;
using postern::StatusOr;
using postern::StrCat;
using postern::capi::Fail;
using postern::capi::FailWith;
using postern::capi::Guard;
namespace message = postern::message;
namespace mail = postern::mail;

struct AddressField {
  std::string name;
  std::vector<std::pair<std::string, std::string>> mailboxes;
};

// Source is the caller's `read`, freed with the last part that holds it.
struct Source {
  ~Source() {
    if (attachment.destroy_user_data != nullptr) attachment.destroy_user_data(attachment.user_data);
  }
  postern_attachment attachment;
};

std::string RandomOctets(size_t count) {
  std::string octets(count, '\0');
  // Up to 256 octets getrandom(2) gives at once or not at all.
  if (getrandom(octets.data(), count, 0) != static_cast<ssize_t>(count)) throw std::bad_alloc();
  return octets;
}

}  // namespace

struct postern_letter {
  std::vector<std::pair<std::string, std::string>> fields;
  std::vector<AddressField> addresses;
  message::Letter letter;
  postern_status callback_status = POSTERN_OK;
  bool has_streams = false;
  bool streams_read = false;  // they give their octets once

  bool Has(std::string_view name) const {
    return std::any_of(fields.begin(), fields.end(),
                       [&](const auto& f) { return postern::EqualsIgnoreCase(f.first, name); });
  }
};

namespace {

std::string HeaderOf(const postern_letter& letter) {
  std::string out;
  if (!letter.Has("Date"))
    message::AppendHeader("Date", mail::FormatDate(absl::FromTimeT(std::time(nullptr)), 0), out);
  std::string domain = "localhost";
  for (const AddressField& field : letter.addresses) {
    message::AppendAddressHeader(field.name, field.mailboxes, out);
    if (postern::EqualsIgnoreCase(field.name, "From") && !field.mailboxes.empty()) {
      const auto address = mail::ParseAddress(field.mailboxes[0].second);
      if (address.ok() && !address->DomainLiteral()) {
        const StatusOr<std::string> ascii = mail::DomainToAscii(address->domain);
        if (ascii.ok()) domain = *ascii;
      }
    }
  }
  if (!letter.Has("Message-ID"))
    message::AppendHeader("Message-ID", mail::MakeMessageId(RandomOctets(16), domain), out);
  for (const auto& [name, text] : letter.fields) message::AppendTextHeader(name, text, out);
  if (!letter.Has("MIME-Version")) message::AppendHeader("MIME-Version", "1.0", out);
  return out;
}

// CheckAuthors holds the letter to RFC 5322 §3.6.2: somebody wrote it, and of several authors it
// says who sent it.
Status CheckAuthors(const postern_letter& letter) {
  size_t authors = 0;
  bool sender = false;
  for (const AddressField& field : letter.addresses) {
    if (postern::EqualsIgnoreCase(field.name, "From")) authors = field.mailboxes.size();
    if (postern::EqualsIgnoreCase(field.name, "Sender")) sender = true;
  }
  if (authors == 0) return postern::InvalidArgument("the letter has no From");
  if (authors > 1 && !sender)
    return postern::InvalidArgument("a letter with several addresses in From needs a Sender");
  return OkStatus();
}

Status Write(postern_letter* letter, const message::OctetSink& sink) {
  letter->callback_status = POSTERN_OK;
  if (Status status = CheckAuthors(*letter); !status.ok()) return status;
  if (letter->streams_read)
    return postern::FailedPrecondition(
        "the letter was written once already, and what its attachments read is used up: make "
        "another letter");
  letter->streams_read = letter->has_streams;
  if (Status status = sink(HeaderOf(*letter)); !status.ok()) return status;
  // A copy: what is composed moves out of the letter, which may be written again.
  return message::WritePart(message::ComposeLetter(letter->letter),
                            postern::HexEncode(RandomOctets(12)), sink);
}

postern_status Finish(const postern_letter* letter, const Status& status,
                      postern_error** out_error) {
  if (status.ok()) return POSTERN_OK;
  if (letter->callback_status == POSTERN_OK) return FailWith(out_error, status);
  Fail(out_error, POSTERN_ERR_CALLBACK, "callback",
       "a callback failed while the letter was written");
  if (out_error != nullptr) (*out_error)->callback_status = letter->callback_status;
  return POSTERN_ERR_CALLBACK;
}

postern_status BadArgument(postern_error** out_error, std::string text) {
  return Fail(out_error, POSTERN_ERR_INVALID_ARGUMENT, "argument", std::move(text));
}

postern_status Attach(postern_letter* letter, const postern_attachment* given,
                      postern_error** out_error) {
  auto source = std::make_shared<Source>();
  source->attachment = POSTERN_ATTACHMENT_INIT;
  const bool known = postern::capi::TakeStruct(&source->attachment,
                                               postern_attachment POSTERN_ATTACHMENT_INIT, given);
  const postern_attachment& attachment = source->attachment;
  if (!known || given == nullptr)
    return Fail(out_error, POSTERN_ERR_VERSION, "version", "the attachment struct is not known");
  message::OutgoingPart part;
  part.content_type =
      attachment.content_type != nullptr ? attachment.content_type : "application/octet-stream";
  if (const Status status = postern::capi::CheckAttachmentType(part.content_type); !status.ok())
    return FailWith(out_error, status);
  if (attachment.file_name != nullptr) part.file_name = attachment.file_name;
  if (attachment.content_id != nullptr) {
    StatusOr<std::string> id = postern::capi::ContentId(attachment.content_id);
    if (!id.ok()) return FailWith(out_error, id.status());
    part.content_id = *std::move(id);
  }
  if (attachment.read != nullptr) {
    letter->has_streams = true;
    // The letter outlives what is written of it.
    part.source = [source, letter](char* to, size_t size) -> StatusOr<size_t> {
      size_t got = 0;
      const postern_status status =
          source->attachment.read(to, size, &got, source->attachment.user_data);
      if (status == POSTERN_OK) return std::min(got, size);
      letter->callback_status = status;
      return postern::Cancelled("an attachment could not be read");
    };
  } else if (attachment.data != nullptr) {
    part.content.assign(attachment.data, attachment.len);
  }
  const bool is_attachment = part.content_id.empty();
  // Without a name it is still no part of the text.
  if (is_attachment && part.file_name.empty())
    part.headers = {{"Content-Disposition", "attachment"}};
  (is_attachment ? letter->letter.attachments : letter->letter.related).push_back(std::move(part));
  return POSTERN_OK;
}

}  // namespace

extern "C" {

postern_status postern_letter_new(postern_letter** out, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr) return BadArgument(out_error, "out is NULL");
    *out = new postern_letter;
    return POSTERN_OK;
  });
}

void postern_letter_free(postern_letter* letter) { delete letter; }

postern_status postern_letter_header(postern_letter* letter, const char* name, const char* text,
                                     postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (letter == nullptr || name == nullptr || text == nullptr)
      return BadArgument(out_error, "letter, name or text is NULL");
    std::string value = text;
    const StatusOr<postern::capi::FieldRule> rule = postern::capi::CheckField(name, &value);
    if (!rule.ok()) return FailWith(out_error, rule.status());
    if (*rule == postern::capi::FieldRule::kReplace) {
      for (auto& field : letter->fields) {
        if (!postern::EqualsIgnoreCase(field.first, name)) continue;
        field.second = std::move(value);
        return POSTERN_OK;
      }
    }
    letter->fields.emplace_back(name, std::move(value));
    return POSTERN_OK;
  });
}

postern_status postern_letter_address(postern_letter* letter, const char* field,
                                      const char* display, const char* address,
                                      postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (letter == nullptr || field == nullptr || address == nullptr)
      return BadArgument(out_error, "letter, field or address is NULL");
    bool single = false;
    if (const Status status = postern::capi::CheckAddressField(field, &single); !status.ok())
      return FailWith(out_error, status);
    const auto parsed = mail::ParseAddress(address);
    if (!parsed.ok()) return FailWith(out_error, parsed.status());
    AddressField* into = nullptr;
    for (AddressField& each : letter->addresses) {
      if (postern::EqualsIgnoreCase(each.name, field)) into = &each;
    }
    if (single && into != nullptr)
      return BadArgument(out_error, StrCat(field, " has one address and no more"));
    if (into == nullptr) into = &letter->addresses.emplace_back(AddressField{field, {}});
    into->mailboxes.emplace_back(display == nullptr ? "" : display, parsed->ToString());
    return POSTERN_OK;
  });
}

postern_status postern_letter_text(postern_letter* letter, const char* text, size_t len,
                                   postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (letter == nullptr) return BadArgument(out_error, "letter is NULL");
    letter->letter.text.assign(text == nullptr ? "" : text, text == nullptr ? 0 : len);
    return POSTERN_OK;
  });
}

postern_status postern_letter_html(postern_letter* letter, const char* html, size_t len,
                                   postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (letter == nullptr) return BadArgument(out_error, "letter is NULL");
    letter->letter.html.assign(html == nullptr ? "" : html, html == nullptr ? 0 : len);
    return POSTERN_OK;
  });
}

postern_status postern_letter_attach(postern_letter* letter, const postern_attachment* attachment,
                                     postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (letter == nullptr) return BadArgument(out_error, "letter is NULL");
    return Attach(letter, attachment, out_error);
  });
}

postern_status postern_letter_build(postern_buf* out, postern_letter* letter,
                                    postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (out == nullptr || letter == nullptr) return BadArgument(out_error, "out or letter is NULL");
    *out = postern_buf{nullptr, 0};
    std::string whole;
    const Status status = Write(letter, [&](std::string_view piece) {
      whole.append(piece);
      return OkStatus();
    });
    if (status.ok()) postern::capi::Give(out, whole);
    return Finish(letter, status, out_error);
  });
}

postern_status postern_letter_write(postern_letter* letter,
                                    postern_status (*write)(const char* octets, size_t len,
                                                            void* user_data),
                                    void* user_data, postern_error** out_error) {
  return Guard(out_error, [&]() -> postern_status {
    if (letter == nullptr || write == nullptr)
      return BadArgument(out_error, "letter or write is NULL");
    const Status status = Write(letter, [&](std::string_view piece) -> Status {
      letter->callback_status = write(piece.data(), piece.size(), user_data);
      if (letter->callback_status == POSTERN_OK) return OkStatus();
      return postern::Cancelled("the letter could not be written");
    });
    return Finish(letter, status, out_error);
  });
}

}  // extern "C"
