#include "lib/core/base/proxy_header.h"

#include <gtest/gtest.h>

#include "lib/core/base/strings.h"

namespace postern {
namespace {

constexpr char kSignature[] = "0d0a0d0a000d0a515549540a";
// 192.0.2.1 port 1025 to 198.51.100.7 port 25
constexpr char kV4[] = "c0000201c633640704010019";

std::string Header(std::string_view hex) {
  return *HexDecode(StrCat(std::string_view(kSignature), hex));
}

TEST(ProxyHeader, TellsTheClientAndWhereItConnected) {
  const StatusOr<ProxyHeader> v4 = ParseProxyHeader(Header(StrCat("2111000c", kV4)));
  ASSERT_TRUE(v4.ok()) << Text(v4.status());
  EXPECT_FALSE(v4->local);
  EXPECT_EQ(v4->source.ToString(), "192.0.2.1:1025");
  EXPECT_EQ(v4->destination.ToString(), "198.51.100.7:25");
  const StatusOr<ProxyHeader> v6 =
      ParseProxyHeader(Header("21210024"
                              "20010db8000000000000000000000001"
                              "20010db8000000000000000000000002"
                              "ffff01d1"));
  ASSERT_TRUE(v6.ok()) << Text(v6.status());
  EXPECT_EQ(v6->source.address, *IpAddress::Parse("2001:db8::1"));
  EXPECT_EQ(v6->source.port, 65535);
  EXPECT_EQ(v6->destination.address, *IpAddress::Parse("2001:db8::2"));
  EXPECT_EQ(v6->destination.port, 465);
}

// Each octet is judged when it is there.
TEST(ProxyHeader, AWrongStartIsKnownByItsFirstWrongOctet) {
  const std::string good = Header(StrCat("2111000c", kV4));
  for (size_t size = 0; size <= good.size(); ++size)
    EXPECT_TRUE(CheckProxyStart(std::string_view(good).substr(0, size)).ok()) << size;
  for (size_t at = 0; at < 14; ++at) {
    std::string start = good.substr(0, at + 1);
    start[at] ^= '\x44';
    EXPECT_FALSE(CheckProxyStart(start).ok()) << at;
  }
  EXPECT_FALSE(CheckProxyStart("E").ok());
  EXPECT_FALSE(CheckProxyStart(Header("22")).ok());
  EXPECT_FALSE(CheckProxyStart(Header("2112")).ok()) << "datagrams";
  EXPECT_TRUE(CheckProxyStart(Header("2012")).ok()) << "the proxy's own";
}

TEST(ProxyHeader, AMappedAddressIsTheAddressOfVersion4) {
  const StatusOr<ProxyHeader> read =
      ParseProxyHeader(Header("21210024"
                              "00000000000000000000ffff7f000001"
                              "00000000000000000000ffffc0000202"
                              "00010019"));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->source.address, IpAddress::V4(127, 0, 0, 1));
}

TEST(ProxyHeader, OptionalFieldsArePassedOver) {
  for (const char* tlvs : {"010002683205", "0400ff", "ffffffff", "00"}) {
    const size_t size = 12 + std::string_view(tlvs).size() / 2;
    EXPECT_TRUE(
        ParseProxyHeader(Header(StrCat("2111", Hex(size, 4), kV4, std::string_view(tlvs)))).ok())
        << tlvs;
  }
}

TEST(ProxyHeader, TheProxysOwnConnectionKeepsItsAddresses) {
  for (const char* rest : {"20000000", "20110000", "20ff000461626364"}) {
    const StatusOr<ProxyHeader> read = ParseProxyHeader(Header(rest));
    ASSERT_TRUE(read.ok()) << rest;
    EXPECT_TRUE(read->local);
  }
}

TEST(ProxyHeader, WhateverElseIsRefused) {
  const struct {
    std::string header;
    const char* reason;
  } cases[] = {
      {Header(StrCat("1111000c", kV4)), "version 1"},
      {Header(StrCat("3111000c", kV4)), "version 3"},
      {Header(StrCat("2211000c", kV4)), "unknown command 2"},
      {Header(StrCat("2f11000c", kV4)), "unknown command 15"},
      {Header("21000000"), "no TCP"},
      {Header(StrCat("2112000c", kV4)), "no TCP"},
      {Header(StrCat("2101000c", kV4)), "no TCP"},
      {Header(StrCat("2122000c", kV4)), "no TCP"},
      {Header(StrCat("213100d8", std::string(432, '0'))), "no TCP"},  // a Unix socket
      {Header("21110000"), "whole addresses"},
      {Header("2111000bc0000201c6336407040100"), "whole addresses"},
      {Header(StrCat("2121000c", kV4)), "whole addresses"},
      {Header(StrCat("2111000d", kV4)), "cut short"},
      {Header(StrCat("2111000c", kV4, "00")), "cut short"},
      {Header(StrCat("2111ffff", kV4)), "over 4096"},
      {"PROXY TCP4 192.0.2.1 198.51.100.7 1025 25\r\n", "no PROXY header"},
      {"EHLO client.example\r\n", "no PROXY header"},
      {"", "no PROXY header"},
  };
  for (const auto& each : cases) {
    const StatusOr<ProxyHeader> read = ParseProxyHeader(each.header);
    ASSERT_FALSE(read.ok()) << each.reason;
    EXPECT_NE(std::string(Message(read.status())).find(each.reason), std::string::npos)
        << Text(read.status());
  }
  // No prefix of a good header is one.
  const std::string good = Header(StrCat("2111000c", kV4));
  for (size_t n = 0; n < good.size(); ++n)
    EXPECT_FALSE(ParseProxyHeader(std::string_view(good).substr(0, n)).ok()) << n;
  // Nor is one with another signature.
  for (size_t n = 0; n < 12; ++n) {
    std::string other = good;
    other[n] = static_cast<char>(other[n] ^ 1);
    EXPECT_FALSE(ParseProxyHeader(other).ok()) << n;
  }
}

}  // namespace
}  // namespace postern
