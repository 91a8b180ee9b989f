// Tells a sender that a message could not be delivered (RFC 3464), and reads the notification as
// the sender's program would.
#include <cstdio>
#include <string>

#include <postern/notice.hpp>

namespace {

constexpr char kMessage[] =
    "From: Joe <joe@example.org>\r\nSubject: hello\r\nMessage-ID: "
    "<1@example.org>\r\n\r\nHello.\r\n";

int Fail(const postern::Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

}  // namespace

int main() {
  postern_dsn_recipient recipient = POSTERN_DSN_RECIPIENT_INIT;
  recipient.address = "ann@example.com";
  recipient.status = "5.1.1";
  recipient.reply = "550 5.1.1 no such user";
  recipient.remote_mta = "mx.example.com";
  postern_dsn_options options = POSTERN_DSN_OPTIONS_INIT;
  options.reporting_mta = "mx.example.org";
  options.sender = "joe@example.org";
  options.recipients = &recipient;
  options.recipient_count = 1;
  options.original = kMessage;
  options.original_len = sizeof kMessage - 1;
  const auto notification = postern::Build(options);
  if (!notification.ok()) return Fail(notification.error());
  std::fwrite(notification->data(), 1, notification->size(), stdout);

  const auto parsed = postern::ParsedMessage::Parse(*notification);
  if (!parsed.ok()) return Fail(parsed.error());
  const auto said = postern::NoticeJson(parsed->get());
  const auto structure = postern::BodyStructureOf(parsed->get());
  if (!said.ok()) return Fail(said.error());
  if (!structure.ok()) return Fail(structure.error());
  std::printf("%s\n%s\n", said->c_str(), structure->c_str());
  return 0;
}
