// Records: their types, their data as values, and the reading of both forms, wire and text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/core/base/ip_address.h"
#include "lib/core/base/status.h"
#include "lib/core/dns/name.h"

namespace postern::dns {

enum class Type : uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kTlsa = 52,
};
// TypeName gives "MX", or "TYPE4711" (RFC 3597 §5); ParseType reads either.
std::string TypeName(Type type);
std::optional<Type> ParseType(std::string_view text);

struct AddressData {  // A, AAAA
  IpAddress address;
  friend bool operator==(const AddressData&, const AddressData&) = default;
};
struct NameData {  // CNAME, PTR, NS
  Name name;
  friend bool operator==(const NameData&, const NameData&) = default;
};
struct MxData {
  uint16_t preference = 0;
  Name exchange;
  friend bool operator==(const MxData&, const MxData&) = default;
};
struct TxtData {
  std::vector<std::string> strings;
  // Joined puts the strings together without anything between, as SPF and DKIM want it (RFC 7208
  // §3.3, RFC 6376 §3.6.2.2).
  std::string Joined() const;
  friend bool operator==(const TxtData&, const TxtData&) = default;
};
struct SoaData {
  Name primary;
  Name mailbox;
  uint32_t serial = 0, refresh = 0, retry = 0, expire = 0, minimum = 0;
  friend bool operator==(const SoaData&, const SoaData&) = default;
};
struct SrvData {
  uint16_t priority = 0, weight = 0, port = 0;
  Name target;
  friend bool operator==(const SrvData&, const SrvData&) = default;
};
struct TlsaData {  // RFC 6698 §2.1
  uint8_t usage = 0, selector = 0, matching = 0;
  std::string association;
  friend bool operator==(const TlsaData&, const TlsaData&) = default;
};
struct RawData {  // any other type: its octets
  std::string octets;
  friend bool operator==(const RawData&, const RawData&) = default;
};
using Data =
    std::variant<RawData, AddressData, NameData, MxData, TxtData, SoaData, SrvData, TlsaData>;

struct Record {
  Name name;
  Type type = Type::kA;
  uint32_t ttl_s = 0;
  Data data;
};

// ParseRdata reads the data of a record of `type`: `length` octets at `offset` of `message`, into
// which compressed names may point backwards (RFC 1035 §4.1.4; only where the RFC allows them: MX,
// CNAME, PTR, NS, SOA). Each octet must be used, no more: anything else is nullopt.
std::optional<Data> ParseRdata(Type type, std::string_view message, size_t offset, size_t length);

// RdataToWire writes `data` uncompressed; RdataToText as in a zone file.
std::string RdataToWire(Type type, const Data& data);
std::string RdataToText(Type type, const Data& data);

// ParseRdataText reads the fields of a zone file's record (quotes and escapes already undone by the
// caller for TXT: `fields` are octets; names are still text and may be relative to `origin`).
StatusOr<Data> ParseRdataText(Type type, const std::vector<std::string>& fields,
                              const Name& origin);

}  // namespace postern::dns
