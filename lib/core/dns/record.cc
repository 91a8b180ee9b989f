#include "lib/core/dns/record.h"

#include "lib/core/base/strings.h"
#include "lib/core/dns/message.h"

namespace postern::dns {
namespace {

struct TypeRow {
  Type type;
  std::string_view name;
};
constexpr TypeRow kTypes[] = {
    {Type::kA, "A"},     {Type::kNs, "NS"},     {Type::kCname, "CNAME"}, {Type::kSoa, "SOA"},
    {Type::kPtr, "PTR"}, {Type::kMx, "MX"},     {Type::kTxt, "TXT"},     {Type::kAaaa, "AAAA"},
    {Type::kSrv, "SRV"}, {Type::kTlsa, "TLSA"},
};

// Cursor reads one record's data: never past its end, though names may point back into the message.
class Cursor {
 public:
  Cursor(std::string_view message, size_t offset, size_t length)
      : message_(message.substr(0, offset + length)), at_(offset) {}

  bool U8(uint8_t* value) {
    if (left() < 1) return false;
    *value = static_cast<uint8_t>(message_[at_++]);
    return true;
  }
  bool U16(uint16_t* value) {
    uint8_t high = 0, low = 0;
    if (!U8(&high) || !U8(&low)) return false;
    *value = static_cast<uint16_t>(high << 8 | low);
    return true;
  }
  bool U32(uint32_t* value) {
    uint16_t high = 0, low = 0;
    if (!U16(&high) || !U16(&low)) return false;
    *value = static_cast<uint32_t>(high) << 16 | low;
    return true;
  }
  bool Bytes(size_t n, std::string* value) {
    if (left() < n) return false;
    value->assign(message_.substr(at_, n));
    at_ += n;
    return true;
  }
  bool ReadNameInto(Name* value) {
    std::optional<Name> name = ReadName(message_, &at_);
    if (!name) return false;
    *value = std::move(*name);
    return true;
  }
  size_t left() const { return message_.size() - at_; }

 private:
  std::string_view message_;
  size_t at_;
};

void PutU16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value & 0xff));
}
void PutU32(std::string& out, uint32_t value) {
  PutU16(out, static_cast<uint16_t>(value >> 16));
  PutU16(out, static_cast<uint16_t>(value & 0xffff));
}

std::string QuoteText(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const unsigned value = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (IsAsciiPrintable(c)) {
      out.push_back(c);
    } else {
      out.push_back('\\');
      out.push_back(static_cast<char>('0' + value / 100));
      out.push_back(static_cast<char>('0' + value / 10 % 10));
      out.push_back(static_cast<char>('0' + value % 10));
    }
  }
  out.push_back('"');
  return out;
}

}  // namespace

std::string TypeName(Type type) {
  for (const TypeRow& row : kTypes) {
    if (row.type == type) return std::string(row.name);
  }
  return StrCat("TYPE", static_cast<uint16_t>(type));
}

std::optional<Type> ParseType(std::string_view text) {
  for (const TypeRow& row : kTypes) {
    if (EqualsIgnoreCase(row.name, text)) return row.type;
  }
  if (!StartsWithIgnoreCase(text, "TYPE")) return std::nullopt;
  const std::optional<uint64_t> number = ParseUint(text.substr(4), 65535);
  if (!number) return std::nullopt;
  return static_cast<Type>(*number);
}

std::string TxtData::Joined() const {
  std::string joined;
  for (const std::string& s : strings) joined += s;
  return joined;
}

std::optional<Data> ParseRdata(Type type, std::string_view message, size_t offset, size_t length) {
  if (offset > message.size() || length > message.size() - offset) return std::nullopt;
  Cursor in(message, offset, length);
  Data data;
  bool good = false;
  switch (type) {
    case Type::kA:
    case Type::kAaaa: {
      // The length is exact: 3 or 5 octets are no address.
      std::string octets;
      if (length != (type == Type::kA ? 4u : 16u) || !in.Bytes(length, &octets))
        return std::nullopt;
      const std::optional<IpAddress> address = IpAddress::FromBytes(octets);
      if (!address) return std::nullopt;
      data = AddressData{*address};
      good = true;
      break;
    }
    case Type::kNs:
    case Type::kCname:
    case Type::kPtr: {
      NameData value;
      good = in.ReadNameInto(&value.name);
      data = std::move(value);
      break;
    }
    case Type::kMx: {
      MxData value;
      good = in.U16(&value.preference) && in.ReadNameInto(&value.exchange);
      data = std::move(value);
      break;
    }
    case Type::kTxt: {
      TxtData value;
      while (in.left() > 0) {
        uint8_t size = 0;
        std::string text;
        if (!in.U8(&size) || !in.Bytes(size, &text)) return std::nullopt;
        value.strings.push_back(std::move(text));
      }
      good = !value.strings.empty();  // RFC 1035 §3.3.14: one or more
      data = std::move(value);
      break;
    }
    case Type::kSoa: {
      SoaData value;
      good = in.ReadNameInto(&value.primary) && in.ReadNameInto(&value.mailbox) &&
             in.U32(&value.serial) && in.U32(&value.refresh) && in.U32(&value.retry) &&
             in.U32(&value.expire) && in.U32(&value.minimum);
      data = std::move(value);
      break;
    }
    case Type::kSrv: {
      SrvData value;
      // RFC 2782: the target is not compressed. What some servers compress all the same reads the
      // same way.
      good = in.U16(&value.priority) && in.U16(&value.weight) && in.U16(&value.port) &&
             in.ReadNameInto(&value.target);
      data = std::move(value);
      break;
    }
    case Type::kTlsa: {
      TlsaData value;
      // RFC 6698 §2.1: three octets and at least one of data; records of 0 to 3 octets broke
      // others.
      good = in.U8(&value.usage) && in.U8(&value.selector) && in.U8(&value.matching) &&
             in.left() > 0 && in.Bytes(in.left(), &value.association);
      data = std::move(value);
      break;
    }
    default: {
      RawData value;
      good = in.Bytes(length, &value.octets);
      data = std::move(value);
      break;
    }
  }
  if (!good || in.left() != 0) return std::nullopt;
  return data;
}

std::string RdataToWire(Type type, const Data& data) {
  (void)type;
  std::string out;
  if (const auto* raw = std::get_if<RawData>(&data)) {
    out = raw->octets;
  } else if (const auto* address = std::get_if<AddressData>(&data)) {
    const std::string_view octets = address->address.bytes();
    // IpAddress folds mapped addresses to IPv4; in an AAAA record they have all 16 octets.
    if (type == Type::kAaaa && octets.size() == 4) out = std::string(10, '\0') + "\xff\xff";
    out += octets;
  } else if (const auto* name = std::get_if<NameData>(&data)) {
    out = name->name.wire();
  } else if (const auto* mx = std::get_if<MxData>(&data)) {
    PutU16(out, mx->preference);
    out += mx->exchange.wire();
  } else if (const auto* txt = std::get_if<TxtData>(&data)) {
    for (const std::string& s : txt->strings) {
      const std::string_view cut = std::string_view(s).substr(0, 255);
      out.push_back(static_cast<char>(cut.size()));
      out += cut;
    }
  } else if (const auto* soa = std::get_if<SoaData>(&data)) {
    out += soa->primary.wire();
    out += soa->mailbox.wire();
    for (const uint32_t value : {soa->serial, soa->refresh, soa->retry, soa->expire, soa->minimum})
      PutU32(out, value);
  } else if (const auto* srv = std::get_if<SrvData>(&data)) {
    PutU16(out, srv->priority);
    PutU16(out, srv->weight);
    PutU16(out, srv->port);
    out += srv->target.wire();
  } else if (const auto* tlsa = std::get_if<TlsaData>(&data)) {
    out.push_back(static_cast<char>(tlsa->usage));
    out.push_back(static_cast<char>(tlsa->selector));
    out.push_back(static_cast<char>(tlsa->matching));
    out += tlsa->association;
  }
  return out;
}

std::string RdataToText(Type type, const Data& data) {
  auto absolute = [](const Name& name) {
    return name.is_root() ? std::string(".") : name.ToString() + ".";
  };
  if (const auto* address = std::get_if<AddressData>(&data)) return address->address.ToString();
  if (const auto* name = std::get_if<NameData>(&data)) return absolute(name->name);
  if (const auto* mx = std::get_if<MxData>(&data))
    return StrCat(mx->preference, " ", absolute(mx->exchange));
  if (const auto* txt = std::get_if<TxtData>(&data)) {
    std::vector<std::string> quoted;
    for (const std::string& s : txt->strings) quoted.push_back(QuoteText(s));
    return StrJoin(quoted, " ");
  }
  if (const auto* soa = std::get_if<SoaData>(&data)) {
    return StrCat(absolute(soa->primary), " ", absolute(soa->mailbox), " ", soa->serial, " ",
                  soa->refresh, " ", soa->retry, " ", soa->expire, " ", soa->minimum);
  }
  if (const auto* srv = std::get_if<SrvData>(&data)) {
    return StrCat(srv->priority, " ", srv->weight, " ", srv->port, " ", absolute(srv->target));
  }
  if (const auto* tlsa = std::get_if<TlsaData>(&data)) {
    return StrCat(tlsa->usage, " ", tlsa->selector, " ", tlsa->matching, " ",
                  HexEncode(tlsa->association));
  }
  const std::string octets = RdataToWire(type, data);
  if (octets.empty()) return "\\# 0";  // RFC 3597 §5
  return StrCat("\\# ", octets.size(), " ", HexEncode(octets));
}

StatusOr<Data> ParseRdataText(Type type, const std::vector<std::string>& fields,
                              const Name& origin) {
  const std::string type_name = TypeName(type);
  auto want = [&](size_t n) -> Status {
    if (fields.size() == n) return OkStatus();
    return InvalidArgument(StrCat(type_name, " wants ", n, " fields, found ", fields.size()));
  };
  auto number = [&](size_t i, uint64_t max) -> StatusOr<uint32_t> {
    const std::optional<uint64_t> value = ParseUint(fields[i], max);
    if (!value)
      return InvalidArgument(
          StrCat(type_name, ": \"", Escape(fields[i]), "\" is no number up to ", max));
    return static_cast<uint32_t>(*value);
  };
  // RFC 3597 §5: \# LENGTH HEX... is good for every type; it is then read as if it came off the
  // wire.
  if (!fields.empty() && fields[0] == "\\#") {
    if (fields.size() < 2) return InvalidArgument("\\# wants a length");
    StatusOr<uint32_t> length = number(1, 65535);
    if (!length.ok()) return length.status();
    std::string hex;
    for (size_t i = 2; i < fields.size(); ++i) hex += fields[i];
    const std::optional<std::string> octets = HexDecode(hex);
    if (!octets || octets->size() != *length)
      return InvalidArgument("\\#: the hexadecimal text does not have that length");
    std::optional<Data> data = ParseRdata(type, *octets, 0, octets->size());
    if (!data) return InvalidArgument(StrCat("\\#: these octets are no ", type_name));
    return std::move(*data);
  }
  switch (type) {
    case Type::kA:
    case Type::kAaaa: {
      POSTERN_RETURN_IF_ERROR(want(1));
      const std::optional<IpAddress> address = IpAddress::Parse(fields[0]);
      if (!address || (type == Type::kA && address->is_v6()) ||
          (type == Type::kAaaa && fields[0].find(':') == std::string::npos)) {
        return InvalidArgument(
            StrCat(type_name, ": \"", Escape(fields[0]), "\" is no such address"));
      }
      return Data(AddressData{*address});
    }
    case Type::kNs:
    case Type::kCname:
    case Type::kPtr: {
      POSTERN_RETURN_IF_ERROR(want(1));
      StatusOr<Name> name = Name::ParseRelative(fields[0], origin);
      if (!name.ok()) return name.status();
      return Data(NameData{*std::move(name)});
    }
    case Type::kMx: {
      POSTERN_RETURN_IF_ERROR(want(2));
      StatusOr<uint32_t> preference = number(0, 65535);
      if (!preference.ok()) return preference.status();
      StatusOr<Name> name = Name::ParseRelative(fields[1], origin);
      if (!name.ok()) return name.status();
      return Data(MxData{static_cast<uint16_t>(*preference), *std::move(name)});
    }
    case Type::kTxt: {
      if (fields.empty()) return InvalidArgument("TXT wants text");
      for (const std::string& s : fields) {
        if (s.size() > 255) return InvalidArgument("TXT: a string longer than 255 octets");
      }
      return Data(TxtData{fields});
    }
    case Type::kSoa: {
      POSTERN_RETURN_IF_ERROR(want(7));
      SoaData soa;
      StatusOr<Name> primary = Name::ParseRelative(fields[0], origin);
      if (!primary.ok()) return primary.status();
      StatusOr<Name> mailbox = Name::ParseRelative(fields[1], origin);
      if (!mailbox.ok()) return mailbox.status();
      soa.primary = *std::move(primary);
      soa.mailbox = *std::move(mailbox);
      uint32_t* const numbers[] = {&soa.serial, &soa.refresh, &soa.retry, &soa.expire,
                                   &soa.minimum};
      for (size_t i = 0; i < 5; ++i) {
        StatusOr<uint32_t> value = number(i + 2, UINT32_MAX);
        if (!value.ok()) return value.status();
        *numbers[i] = *value;
      }
      return Data(std::move(soa));
    }
    case Type::kSrv: {
      POSTERN_RETURN_IF_ERROR(want(4));
      SrvData srv;
      uint16_t* const numbers[] = {&srv.priority, &srv.weight, &srv.port};
      for (size_t i = 0; i < 3; ++i) {
        StatusOr<uint32_t> value = number(i, 65535);
        if (!value.ok()) return value.status();
        *numbers[i] = static_cast<uint16_t>(*value);
      }
      StatusOr<Name> target = Name::ParseRelative(fields[3], origin);
      if (!target.ok()) return target.status();
      srv.target = *std::move(target);
      return Data(std::move(srv));
    }
    case Type::kTlsa: {
      if (fields.size() < 4)
        return InvalidArgument("TLSA wants usage, selector, matching type and data");
      TlsaData tlsa;
      uint8_t* const numbers[] = {&tlsa.usage, &tlsa.selector, &tlsa.matching};
      for (size_t i = 0; i < 3; ++i) {
        StatusOr<uint32_t> value = number(i, 255);
        if (!value.ok()) return value.status();
        *numbers[i] = static_cast<uint8_t>(*value);
      }
      std::string hex;
      for (size_t i = 3; i < fields.size(); ++i) hex += fields[i];
      std::optional<std::string> octets = HexDecode(hex);
      if (!octets || octets->empty())
        return InvalidArgument("TLSA: the data is no hexadecimal text");
      tlsa.association = std::move(*octets);
      return Data(std::move(tlsa));
    }
  }
  return InvalidArgument(StrCat(type_name, ": give the data as \\# LENGTH HEX"));
}

}  // namespace postern::dns
