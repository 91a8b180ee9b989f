#include "lib/core/queue/envelope.h"

#include <algorithm>

#include "lib/core/base/strings.h"

namespace postern::queue {
namespace {

constexpr uint8_t kVersion = 1;

// Writer and Reader: numbers as base-128 varints, texts with their length before them.
class Writer {
 public:
  void Number(uint64_t value) {
    while (value >= 0x80) {
      out_.push_back(static_cast<char>(value | 0x80));
      value >>= 7;
    }
    out_.push_back(static_cast<char>(value));
  }
  void Signed(int64_t value) {
    Number(static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
  }
  void Text(std::string_view text) {
    text = text.substr(0, kMaxStoredTextBytes);
    Number(text.size());
    out_.append(text);
  }
  void Address(const mail::Address& address) {
    Text(address.local_part);
    Text(address.domain);
  }
  // A time is in microseconds; the infinite past is a number of its own.
  void Time(WallTime time) {
    Signed(time == absl::InfinitePast() ? INT64_MIN : absl::ToUnixMicros(time));
  }
  void Status(const mail::EnhancedStatus& status) {
    Number(static_cast<uint64_t>(std::clamp(status.klass, 0, 9)));
    Number(static_cast<uint64_t>(std::clamp(status.subject, 0, 999)));
    Number(static_cast<uint64_t>(std::clamp(status.detail, 0, 999)));
  }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}
  uint64_t Number() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) break;
      const auto octet = static_cast<uint8_t>(in_.front());
      in_.remove_prefix(1);
      value |= static_cast<uint64_t>(octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
    ok_ = false;
    return 0;
  }
  int64_t Signed() {
    const uint64_t value = Number();
    return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
  }
  std::string Text() {
    const uint64_t size = Number();
    if (size > in_.size() || size > kMaxStoredTextBytes) {
      ok_ = false;
      return {};
    }
    std::string text(in_.substr(0, size));
    in_.remove_prefix(size);
    return text;
  }
  mail::Address Address() {
    mail::Address address;
    address.local_part = Text();
    address.domain = Text();
    return address;
  }
  WallTime Time() {
    const int64_t micros = Signed();
    return micros == INT64_MIN ? absl::InfinitePast() : absl::FromUnixMicros(micros);
  }
  mail::EnhancedStatus Status() {
    mail::EnhancedStatus status;
    status.klass = static_cast<int>(Number());
    status.subject = static_cast<int>(Number());
    status.detail = static_cast<int>(Number());
    return status;
  }
  // Below reads a number that must be under `bound`.
  uint64_t Below(uint64_t bound) {
    const uint64_t value = Number();
    if (value >= bound) ok_ = false;
    return value < bound ? value : 0;
  }
  bool done() const { return ok_ && in_.empty(); }

 private:
  std::string_view in_;
  bool ok_ = true;
};

enum Flag : uint64_t {
  kSmtpUtf8 = 1,
  kAuthenticated = 2,
  kInternal = 4,
  kBounce = 8,
  kRunAsDaemon = 16,
  kHasSize = 32,
  kExpanded = 64,
};

}  // namespace

std::string MessageIdText(MessageId id) { return Hex(id, 8); }
std::string EnvelopeIdText(EnvelopeId id) { return Hex(id, 16); }

std::optional<EnvelopeId> ParseEnvelopeId(std::string_view text) {
  if (text.size() != 16) return std::nullopt;
  const std::optional<std::string> octets = HexDecode(text);
  if (!octets) return std::nullopt;
  EnvelopeId id = 0;
  for (const char c : *octets) id = id << 8 | static_cast<uint8_t>(c);
  if (MessageIdOf(id) == 0) return std::nullopt;
  return id;
}

std::optional<MessageId> ParseMessageId(std::string_view text) {
  if (text.size() != 8) return std::nullopt;
  const std::optional<EnvelopeId> id = ParseEnvelopeId(StrCat(text, "00000000"));
  if (!id) return std::nullopt;
  return MessageIdOf(*id);
}

std::string EncodeEnvelope(const Envelope& e) {
  Writer w;
  w.Number(kVersion);
  uint64_t flags = 0;
  if (e.sender.smtputf8) flags |= kSmtpUtf8;
  if (e.authenticated) flags |= kAuthenticated;
  if (e.internal) flags |= kInternal;
  if (e.bounce) flags |= kBounce;
  if (e.run_as_daemon) flags |= kRunAsDaemon;
  if (e.sender.declared_size_bytes) flags |= kHasSize;
  if (e.expanded) flags |= kExpanded;
  w.Number(flags);
  w.Address(e.sender.address);
  w.Number(static_cast<uint64_t>(e.sender.body));
  if (e.sender.declared_size_bytes) w.Number(*e.sender.declared_size_bytes);
  w.Number(static_cast<uint64_t>(e.sender.dsn_return));
  w.Text(e.sender.dsn_envelope_id);
  w.Text(e.sender.auth);
  w.Address(e.recipient);
  w.Address(e.destination);
  w.Number(e.dsn_notify);
  w.Text(e.dsn_original_recipient);
  w.Number(static_cast<uint64_t>(e.kind == Envelope::Kind::kRelay ? Envelope::Kind::kRelay
                                                                  : Envelope::Kind::kLocal));
  w.Text(e.action);
  w.Number(static_cast<uint64_t>(e.local_kind));
  w.Text(e.user);
  w.Text(e.sub_address);
  w.Text(e.path_or_command);
  w.Text(e.session);
  w.Text(e.helo);
  w.Text(e.client_name);
  w.Text(e.client.address.bytes());
  w.Number(e.client.port);
  w.Text(e.client.unix_path);
  w.Text(e.username);
  w.Text(e.tag);
  w.Text(e.server_name);
  w.Time(e.created);
  w.Number(static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Seconds(e.ttl))));
  w.Number(e.attempts);
  w.Time(e.last_attempt);
  w.Status(e.last_status);
  w.Text(e.last_error);
  w.Text(e.last_host);
  w.Number(e.delay_notices);
  return w.Take();
}

StatusOr<Envelope> DecodeEnvelope(std::string_view encoded) {
  Reader r(encoded);
  if (r.Number() != kVersion) return DataLoss("envelope of an unknown version");
  Envelope e;
  const uint64_t flags = r.Number();
  e.sender.smtputf8 = (flags & kSmtpUtf8) != 0;
  e.authenticated = (flags & kAuthenticated) != 0;
  e.internal = (flags & kInternal) != 0;
  e.bounce = (flags & kBounce) != 0;
  e.run_as_daemon = (flags & kRunAsDaemon) != 0;
  e.expanded = (flags & kExpanded) != 0;
  e.sender.address = r.Address();
  e.sender.body = static_cast<mail::BodyType>(r.Below(3));
  if ((flags & kHasSize) != 0) e.sender.declared_size_bytes = r.Number();
  e.sender.dsn_return = static_cast<mail::DsnReturn>(r.Below(3));
  e.sender.dsn_envelope_id = r.Text();
  e.sender.auth = r.Text();
  e.recipient = r.Address();
  e.destination = r.Address();
  e.dsn_notify = static_cast<uint8_t>(r.Below(16));
  e.dsn_original_recipient = r.Text();
  e.kind = static_cast<Envelope::Kind>(r.Below(2));
  e.action = r.Text();
  e.local_kind = static_cast<Envelope::LocalKind>(r.Below(3));
  e.user = r.Text();
  e.sub_address = r.Text();
  e.path_or_command = r.Text();
  e.session = r.Text();
  e.helo = r.Text();
  e.client_name = r.Text();
  if (const std::optional<IpAddress> address = IpAddress::FromBytes(r.Text()))
    e.client.address = *address;
  e.client.port = static_cast<uint16_t>(r.Below(65536));
  e.client.unix_path = r.Text();
  e.username = r.Text();
  e.tag = r.Text();
  e.server_name = r.Text();
  e.created = r.Time();
  e.ttl = absl::Seconds(static_cast<int64_t>(r.Below(uint64_t{1} << 40)));
  e.attempts = static_cast<uint32_t>(r.Below(uint64_t{1} << 32));
  e.last_attempt = r.Time();
  e.last_status = r.Status();
  e.last_error = r.Text();
  e.last_host = r.Text();
  e.delay_notices = static_cast<uint32_t>(r.Below(uint64_t{1} << 32));
  if (!r.done()) return DataLoss("envelope is not whole");
  return e;
}

uint64_t DestinationKey(const Envelope& envelope) {
  // FNV-1a over the parts, each with a separator that none of them holds.
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  add(envelope.kind == Envelope::Kind::kRelay ? "relay" : "local");
  add(envelope.action);
  add(envelope.kind == Envelope::Kind::kRelay ? envelope.destination.domain : envelope.user);
  return hash;
}

std::string_view ForwarderOf(const Envelope& envelope) {
  return envelope.recipient == envelope.destination ? std::string_view()
                                                    : std::string_view(envelope.recipient.domain);
}

std::string Describe(const Envelope& e) {
  std::string out;
  const auto line = [&out](std::string_view name, std::string_view value) {
    if (!value.empty()) StrAppend(out, name, ": ", Escape(value, kMaxStoredTextBytes), "\n");
  };
  const auto seconds = [](WallTime time) {
    return StrCat(time == absl::InfinitePast() ? 0 : absl::ToUnixSeconds(time));
  };
  const auto path = [](const mail::Address& address) {
    return address.empty() ? std::string("@") : address.ToString();
  };
  line("version", "3");
  line("dispatcher", e.action);
  line("tag", e.tag);
  line("type", e.bounce ? "bounce" : e.kind == Envelope::Kind::kRelay ? "mta" : "mda");
  line("smtpname", e.server_name);
  line("helo", e.helo);
  line("hostname", e.client_name);
  line("username", e.username);
  line("errorline", e.last_error);
  line("sockaddr", e.client.is_unix() ? "local" : e.client.address.ToString());
  line("sender", path(e.sender.address));
  line("rcpt", path(e.recipient));
  line("dest", path(e.destination));
  line("ctime", seconds(e.created));
  line("last-try", seconds(e.last_attempt));
  line("last-bounce", "0");  // notices of delay are counted: delay-notices
  line("ttl", StrCat(absl::ToInt64Seconds(e.ttl)));
  line("retry", StrCat(e.attempts));
  std::string flags;
  if (e.authenticated) flags += " authenticated";
  if (e.bounce) flags += " bounce";
  if (e.internal) flags += " internal";
  if (e.expanded) flags += " expanded";
  if (e.held) flags += " suspend";
  line("flags", Trim(flags));
  // OpenSMTPD's bits.
  line("dsn-notify", StrCat(((e.dsn_notify & mail::kNotifySuccess) != 0 ? 1 : 0) +
                            ((e.dsn_notify & mail::kNotifyFailure) != 0 ? 2 : 0) +
                            ((e.dsn_notify & mail::kNotifyDelay) != 0 ? 4 : 0) +
                            ((e.dsn_notify & mail::kNotifyNever) != 0 ? 8 : 0)));
  if (e.sender.dsn_return == mail::DsnReturn::kFull) line("dsn-ret", "FULL");
  if (e.sender.dsn_return == mail::DsnReturn::kHeaders) line("dsn-ret", "HDRS");
  line("dsn-envid", e.sender.dsn_envelope_id);
  line("dsn-orcpt", e.dsn_original_recipient);
  if (e.delay_notices > 0) line("delay-notices", StrCat(e.delay_notices));
  line("mda-exec", e.path_or_command);
  line("mda-subaddress", e.sub_address);
  line("mda-user", e.user);
  return out;
}

}  // namespace postern::queue
