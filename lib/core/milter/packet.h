// Packets: four octets of length in network order, one that says what it is, and data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/core/base/buffer.h"

namespace postern::milter {

// Packet is one that came. `data` is lent until the reader's next call.
struct Packet {
  char code = 0;
  std::string_view data;
};

// PacketReader cuts octets into packets. A packet of more than `max_packet_bytes` (the octet that
// says what it is, and data), or of none, is a fault that lasts: nobody can tell where the next one
// begins.
class PacketReader {
 public:
  explicit PacketReader(size_t max_packet_bytes)
      : max_packet_bytes_(max_packet_bytes), buffer_(max_packet_bytes + kLengthBytes) {}

  // Feed takes octets and returns how many; less than all when a whole packet waits to be taken.
  // In fault all are taken and dropped.
  size_t Feed(std::string_view octets);

  enum class Found : uint8_t { kPacket, kNeedInput, kTooLong, kEmpty };
  // Next gives the next packet in `*packet`, or says why there is none.
  Found Next(Packet* packet);

  // has_input tells whether octets are there that no Next has given.
  bool has_input() const { return buffer_.size() > taken_; }

 private:
  static constexpr size_t kLengthBytes = 4;

  size_t max_packet_bytes_;
  ByteQueue buffer_;
  size_t taken_ = 0;  // of the packet that was lent; dropped at the next call
  Found fault_ = Found::kNeedInput;
};

// PacketWriter writes one packet behind `out`, which must outlive it: fields in their order, then
// the destructor writes the length.
class PacketWriter {
 public:
  PacketWriter(std::string* out, char code);
  ~PacketWriter();
  PacketWriter(const PacketWriter&) = delete;
  PacketWriter& operator=(const PacketWriter&) = delete;

  PacketWriter& Octet(char c);
  PacketWriter& Uint16(uint16_t value);
  PacketWriter& Uint32(uint32_t value);
  // Text writes a field that NUL ends. A NUL within is left out: it would begin another field.
  PacketWriter& Text(std::string_view text);
  // Octets writes what takes the rest of the packet.
  PacketWriter& Octets(std::string_view octets);

 private:
  std::string* out_;
  size_t start_;
};

// FieldReader reads the data of a packet. Each function returns false, and reads nothing, where the
// data ends before the field does.
class FieldReader {
 public:
  explicit FieldReader(std::string_view data) : data_(data) {}

  bool Octet(char* c);
  bool Uint16(uint16_t* value);
  bool Uint32(uint32_t* value);
  // Text reads up to a NUL, which it takes.
  bool Text(std::string_view* text);
  bool done() const { return data_.empty(); }

 private:
  std::string_view data_;
};

}  // namespace postern::milter
